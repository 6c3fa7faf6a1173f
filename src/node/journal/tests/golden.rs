//! Journals of the past, which must replay for ever.
