//! The one function that all drivers call: engine and paper venue, stepped until quiet.
