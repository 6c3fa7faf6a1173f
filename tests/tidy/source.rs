//! A Rust file with comments, literals and test code blanked out, so that text searches see code.

use super::Violation;
use std::{fs, path::Path};

/// One file. Blanked characters are spaces; lines keep their numbers.
pub struct Source {
    /// Relative to the root of the repository, with `/`.
    pub path: String,
    /// Without comments and the content of strings.
    pub code: String,
    /// `code` without what is compiled for tests only.
    pub production: String,
}

impl Source {
    /// Every Rust file of the repository, by path.
    pub fn all(root: &Path) -> Vec<Self> {
        let mut files = Vec::new();
        for folder in ["src", "sim", "tests"] {
            collect(root, &root.join(folder), &mut files);
        }
        files.sort_by(|a: &Self, b| a.path.cmp(&b.path));
        files
    }

    pub fn new(path: &str, text: &str) -> Self {
        let code = blank_literals(text);
        let production = if is_test_file(path) { blank(&code) } else { blank_test_items(&code) };
        Self { path: path.to_owned(), code, production }
    }

    /// A violation at a byte position of `code` or `production`.
    pub fn violation(&self, position: usize, what: impl Into<String>) -> Violation {
        let line = self.code.as_bytes()[..position].iter().filter(|b| **b == b'\n').count() + 1;
        Violation { path: self.path.clone(), line, what: what.into() }
    }
}

/// The words of a text and where they begin: identifiers, keywords, numbers.
pub fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut rest = 0;
    std::iter::from_fn(move || {
        let start = rest + code[rest..].find(is_word)?;
        let end = code[start..].find(|c| !is_word(c)).map_or(code.len(), |len| start + len);
        rest = end;
        Some((start, &code[start..end]))
    })
}

pub fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<Source>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.map(|entry| entry.expect("a readable folder").path()) {
        if path.is_dir() {
            collect(root, &path, files);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = fs::read_to_string(&path).expect("Rust files are UTF-8");
            let relative = path.strip_prefix(root).expect("below the root");
            files.push(Source::new(&relative.to_string_lossy().replace('\\', "/"), &text));
        }
    }
}

fn is_test_file(path: &str) -> bool {
    path.starts_with("tests/")
        || path.starts_with("sim/tests/")
        || path.ends_with("/tests.rs")
        || path.contains("/tests/")
}

fn blank(text: &str) -> String {
    text.chars().map(|c| if c == '\n' { "\n".to_owned() } else { " ".repeat(c.len_utf8()) }).collect()
}

/// Blanks comments, strings and characters; keeps the quotes' and every other byte's position.
fn blank_literals(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_end(text, at).unwrap_or(at);
        if end > at {
            code.push_str(&blank(&text[at..end]));
            at = end;
        } else {
            let c = text[at..].chars().next().expect("inside the text");
            code.push(c);
            at += c.len_utf8();
        }
    }
    code
}

/// Where the comment or literal that begins at `at` ends, if one begins there.
fn literal_end(text: &str, at: usize) -> Option<usize> {
    let rest = &text[at..];
    let after_word = text[..at].chars().next_back().is_some_and(is_word);
    if rest.starts_with("//") {
        return Some(rest.find('\n').map_or(text.len(), |n| at + n));
    }
    if rest.starts_with("/*") {
        return Some(at + block_comment(rest));
    }
    if rest.starts_with('"') {
        return Some(at + quoted(rest, '"'));
    }
    if !after_word && let Some(string) = rest.strip_prefix(['b', 'c']).filter(|rest| rest.starts_with('"')) {
        return Some(at + 1 + quoted(string, '"'));
    }
    if !after_word && let Some(len) = raw_string(rest) {
        return Some(at + len);
    }
    if let Some(inside) = rest.strip_prefix('\'') {
        let mut inside = inside.chars();
        let first = inside.next()?;
        // a lifetime is a word without a closing quote
        if first == '\\' || inside.next() == Some('\'') {
            return Some(at + quoted(rest, '\''));
        }
    }
    None
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == quote {
            return at + 1;
        }
    }
    rest.len()
}

fn raw_string(rest: &str) -> Option<usize> {
    let after = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r'))?;
    let hashes = after.bytes().take_while(|b| *b == b'#').count();
    if !after[hashes..].starts_with('"') {
        return None;
    }
    let start = rest.len() - after.len() + hashes + 1;
    let close = format!("\"{}", "#".repeat(hashes));
    Some(rest[start..].find(&close).map_or(rest.len(), |n| start + n + close.len()))
}

/// Blanks every item behind `#[cfg(test)]`.
fn blank_test_items(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut production = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(start) = rest.find(MARK) {
        production.push_str(&rest[..start]);
        let end = start + MARK.len() + item_len(&rest[start + MARK.len()..]);
        production.push_str(&blank(&rest[start..end]));
        rest = &rest[end..];
    }
    production.push_str(rest);
    production
}

/// The length of an item: to its `;`, or to the brace that closes its first `{`.
fn item_len(code: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in code.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth <= 1 => return at + 1,
            '}' => depth -= 1,
            ';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

#[test]
fn comments_and_literals_are_blank_and_code_is_not() {
    let text = r##"let a = "HashMap"; // HashMap
let b = r#"a " HashMap"#; /* HashMap /* nested */ HashMap */ let c = '"'; let d: &'static str = b"HashMap\"";
let e = HashMap::new();"##;
    let source = Source::new("src/x.rs", text);
    assert_eq!(source.code.len(), text.len());
    assert_eq!(words(&source.code).filter(|(_, w)| *w == "HashMap").count(), 1);
    let at = source.code.find("HashMap").expect("the one in code");
    assert_eq!(source.violation(at, "").line, 3);
    assert!(source.code.contains("&'static str"));
}

#[test]
fn test_items_are_not_production() {
    let source = Source::new(
        "src/x.rs",
        "use a;\n#[cfg(test)]\nuse b;\nfn c() {}\n#[cfg(test)]\nmod tests { fn d() { if true {} } }\nfn e() {}",
    );
    let kept: Vec<&str> = words(&source.production).map(|(_, w)| w).collect();
    assert_eq!(kept, ["use", "a", "fn", "c", "fn", "e"]);
}
