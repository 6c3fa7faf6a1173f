//! Pages: every list ends at its limit and at the size of a frame, and goes on after the last id, so
//! that what is inserted meanwhile neither repeats nor hides an item.

use crate::{
    domain::message::Refusal,
    gateway::{limits::PAGE_ITEMS, wire::invalid},
    node::journal::Cursor,
};
use data_encoding::BASE64URL_NOPAD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What part of a list is asked for.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub struct PageParams {
    /// 1 to 500; 100 unless told.
    #[serde(default)]
    pub limit: Option<usize>,
    /// `nextCursor` of the page before.
    #[serde(default)]
    pub cursor: Option<String>,
}

impl PageParams {
    /// Items of the page at most.
    pub fn limit(&self) -> Result<usize, Refusal> {
        let limit = self.limit.unwrap_or(PAGE_ITEMS.0);
        if (1..=PAGE_ITEMS.1).contains(&limit) {
            return Ok(limit);
        }
        Err(invalid("OUT_OF_RANGE", "limit", &format!("must be 1 to {}", PAGE_ITEMS.1)))
    }

    /// The number of the last item before the page, in a list that is numbered.
    pub fn after_number(&self) -> Result<u64, Refusal> {
        let Some(cursor) = self.cursor.as_deref() else { return Ok(0) };
        decode(cursor)?.parse().map_err(|_| foreign_cursor())
    }
}

/// A part of a list.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    pub cursor: Cursor,
}

/// Room for the envelope around a page's items.
const ENVELOPE_BYTES: usize = 4 << 10;

impl<T: Serialize> Page<T> {
    /// The page of `items`, which ascend by `key`.
    pub fn cut(
        params: &PageParams,
        items: Vec<T>,
        key: impl Fn(&T) -> String,
        cursor: Cursor,
        frame_bytes: usize,
    ) -> Result<Self, Refusal> {
        let limit = params.limit()?;
        let after = params.cursor.as_deref().map(decode).transpose()?;
        let mut page = Self { items: Vec::new(), next_cursor: None, cursor };
        let mut bytes = ENVELOPE_BYTES;
        for item in items {
            if after.as_ref().is_some_and(|after| key(&item) <= *after) {
                continue;
            }
            bytes += crate::gateway::frame::encode(&item).len() + 1;
            let full = page.items.len() == limit || bytes > frame_bytes;
            if let (true, Some(last)) = (full, page.items.last()) {
                page.next_cursor = Some(BASE64URL_NOPAD.encode(key(last).as_bytes()));
                break;
            }
            page.items.push(item);
        }
        Ok(page)
    }

    /// The page of numbered `items`, of which there are more after `next`.
    pub fn numbered(items: Vec<(u64, T)>, mut next: Option<u64>, cursor: Cursor, frame_bytes: usize) -> Self {
        let mut page = Self { items: Vec::new(), next_cursor: None, cursor };
        let mut bytes = ENVELOPE_BYTES;
        let mut last = None;
        for (number, item) in items {
            bytes += crate::gateway::frame::encode(&item).len() + 1;
            if let (true, Some(last)) = (bytes > frame_bytes, last) {
                next = Some(last);
                break;
            }
            page.items.push(item);
            last = Some(number);
        }
        page.next_cursor = next.map(|number| BASE64URL_NOPAD.encode(number.to_string().as_bytes()));
        page
    }
}

fn decode(cursor: &str) -> Result<String, Refusal> {
    BASE64URL_NOPAD
        .decode(cursor.as_bytes())
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(foreign_cursor)
}

fn foreign_cursor() -> Refusal {
    invalid("PAGE_CURSOR", "cursor", "must be the nextCursor of a page of this list")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::journal::Epoch;

    fn cut(items: &[&str], limit: Option<usize>, cursor: Option<String>, bytes: usize) -> Page<String> {
        let items = items.iter().map(|item| (*item).to_owned()).collect();
        let at = Cursor { epoch: Epoch(1), offset: 1 };
        Page::cut(&PageParams { limit, cursor }, items, Clone::clone, at, bytes).expect("a page")
    }

    #[test]
    fn pages_are_stable_under_inserts() {
        let first = cut(&["a", "c", "e"], Some(2), None, 1 << 20);
        assert_eq!(first.items, ["a", "c"]);
        let second = cut(&["a", "b", "c", "d", "e"], Some(2), first.next_cursor, 1 << 20);
        assert_eq!(second.items, ["d", "e"]);
        assert_eq!(second.next_cursor, None);
    }

    #[test]
    fn a_page_ends_at_the_size_of_a_frame_but_is_never_empty() {
        let page = cut(&["aaaa", "bbbb", "cccc"], None, None, ENVELOPE_BYTES + 14);
        assert_eq!(page.items, ["aaaa", "bbbb"]);
        assert!(page.next_cursor.is_some());
        assert_eq!(cut(&["aaaa", "bbbb"], None, None, 1).items, ["aaaa"]);
    }

    #[test]
    fn limits_and_foreign_cursors_are_refused_by_path() {
        let at = Cursor { epoch: Epoch(1), offset: 1 };
        for (limit, cursor, path) in
            [(Some(0), None, "limit"), (Some(501), None, "limit"), (None, Some("!"), "cursor")]
        {
            let params = PageParams { limit, cursor: cursor.map(str::to_owned) };
            let refusal = Page::cut(&params, vec![1], |n| n.to_string(), at, 1 << 20).expect_err(path);
            assert_eq!(refusal.details["path"], path);
        }
    }
}
