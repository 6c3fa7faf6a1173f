//! Reads a TOML table key by key, so that each error can name file, line and key, and so that a key
//! that nobody asked for is an error.

use super::error::{ConfigError, Place, nearest};
use std::{cell::RefCell, fmt::Display};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// Looks up an environment variable.
pub type Environment<'e> = &'e dyn Fn(&str) -> Option<String>;

/// The file that is read.
pub(super) struct Document<'a> {
    pub file: &'a str,
    pub text: &'a str,
    pub environment: Environment<'a>,
}

impl<'a> Document<'a> {
    /// Reads the whole file with `read`, which is given the top table.
    pub fn read<T>(&self, read: impl FnOnce(&Table<'_>) -> Result<T, ConfigError>) -> Result<T, ConfigError> {
        let root = DeTable::parse(self.text).map_err(|error| ConfigError::Syntax {
            file: self.file.to_owned(),
            line: self.line(error.span().map_or(0, |span| span.start)),
            message: error.message().to_owned(),
        })?;
        let table = Table::new(self, String::new(), 1, root.get_ref());
        let value = read(&table)?;
        table.finish()?;
        Ok(value)
    }

    fn line(&self, at: usize) -> usize {
        1 + self.text.bytes().take(at).filter(|byte| *byte == b'\n').count()
    }
}

/// One table. Every key that is asked for is known; all others are errors in the end.
pub(super) struct Table<'a> {
    document: &'a Document<'a>,
    path: String,
    line: usize,
    entries: &'a DeTable<'a>,
    asked: RefCell<Vec<&'static str>>,
}

impl<'a> Table<'a> {
    fn new(document: &'a Document<'a>, path: String, line: usize, entries: &'a DeTable<'a>) -> Self {
        Self { document, path, line, entries, asked: RefCell::default() }
    }

    /// A text.
    pub fn text<T>(
        &self,
        key: &'static str,
        expected: impl Display,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        self.scalar(key, expected, read, |value| matches!(value, DeValue::String(_)))
    }

    /// A number, written as one or as a text.
    pub fn number<T>(
        &self,
        key: &'static str,
        expected: impl Display,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        let fits = |value: &DeValue<'_>| {
            matches!(value, DeValue::String(_) | DeValue::Integer(_) | DeValue::Float(_))
        };
        self.scalar(key, expected, read, fits)
    }

    /// `true` or `false`.
    pub fn flag(&self, key: &'static str) -> Result<Option<bool>, ConfigError> {
        let fits = |value: &DeValue<'_>| matches!(value, DeValue::Boolean(_) | DeValue::String(_));
        self.scalar(key, "true or false", |text| text.parse().ok(), fits)
    }

    /// A list of texts.
    pub fn texts<T>(
        &self,
        key: &'static str,
        expected: impl Display,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Vec<T>, ConfigError> {
        let Some(value) = self.get(key) else {
            return Ok(Vec::new());
        };
        let Some(items) = value.get_ref().as_array() else {
            return Err(self.wrong(key, value, format_args!("a list, each item {expected}")));
        };
        let item = |item: &Spanned<DeValue<'_>>| {
            let text = item.get_ref().as_str().map(|text| self.interpolate(key, text, item)).transpose()?;
            text.and_then(|text| read(&text)).ok_or_else(|| self.wrong(key, item, &expected))
        };
        items.iter().map(item).collect()
    }

    /// A table inside of this one.
    pub fn table<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&Table<'_>) -> Result<T, ConfigError>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        let entries = value.get_ref().as_table().ok_or_else(|| self.wrong(key, value, "a table"))?;
        self.inner(self.path_of(key), value, entries, read).map(Some)
    }

    /// A list of tables, such as `[[accounts]]`.
    pub fn tables<T>(
        &self,
        key: &'static str,
        mut read: impl FnMut(&Table<'_>) -> Result<T, ConfigError>,
    ) -> Result<Option<Vec<T>>, ConfigError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        let expected = format!("a list of tables: write [[{key}]] before each");
        let items = value.get_ref().as_array().ok_or_else(|| self.wrong(key, value, &expected))?;
        let mut found = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let entries = item.get_ref().as_table().ok_or_else(|| self.wrong(key, item, &expected))?;
            found.push(self.inner(format!("{}[{index}]", self.path_of(key)), item, entries, &mut read)?);
        }
        Ok(Some(found))
    }

    /// The place of a key, or of the table where the key is missing.
    pub fn place(&self, key: &str) -> Place {
        let line = self.entry(key).map_or(self.line, |(name, _)| self.document.line(name.span().start));
        Place { file: self.document.file.to_owned(), line, key: self.path_of(key) }
    }

    fn inner<T>(
        &self,
        path: String,
        value: &Spanned<DeValue<'_>>,
        entries: &DeTable<'_>,
        read: impl FnOnce(&Table<'_>) -> Result<T, ConfigError>,
    ) -> Result<T, ConfigError> {
        let line = self.document.line(value.span().start);
        let table = Table::new(self.document, path, line, entries);
        let value = read(&table)?;
        table.finish()?;
        Ok(value)
    }

    fn scalar<T>(
        &self,
        key: &'static str,
        expected: impl Display,
        read: impl FnOnce(&str) -> Option<T>,
        fits: impl FnOnce(&DeValue<'_>) -> bool,
    ) -> Result<Option<T>, ConfigError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        let text = match value.get_ref() {
            other if !fits(other) => None,
            DeValue::String(text) => Some(self.interpolate(key, text, value)?),
            DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
            DeValue::Float(number) => Some(number.as_str().to_owned()),
            DeValue::Boolean(flag) => Some(flag.to_string()),
            _ => None,
        };
        text.and_then(|text| read(&text)).ok_or_else(|| self.wrong(key, value, expected)).map(Some)
    }

    /// Puts the environment's values in place of `${NAME}`.
    fn interpolate(
        &self,
        key: &str,
        text: &str,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<String, ConfigError> {
        let mut done = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let Some((name, after)) = after.split_once('}') else {
                return Err(self.wrong(key, value, "closed: `${` needs a `}`"));
            };
            let found = (self.document.environment)(name).ok_or_else(|| ConfigError::Environment {
                place: self.place_of_value(key, value),
                name: name.to_owned(),
            })?;
            done.push_str(before);
            done.push_str(&found);
            rest = after;
        }
        Ok(done + rest)
    }

    /// The value as it stands in the file: what came from the environment may be a secret.
    fn wrong(&self, key: &str, value: &Spanned<DeValue<'_>>, expected: impl Display) -> ConfigError {
        let written = self.document.text.get(value.span()).unwrap_or_default();
        let first_line = written.lines().next().unwrap_or_default();
        ConfigError::Value {
            place: self.place_of_value(key, value),
            value: first_line.chars().take(60).collect(),
            expected: expected.to_string(),
        }
    }

    fn place_of_value(&self, key: &str, value: &Spanned<DeValue<'_>>) -> Place {
        let line = self.document.line(value.span().start);
        Place { file: self.document.file.to_owned(), line, key: self.path_of(key) }
    }

    fn get(&self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.asked.borrow_mut().push(key);
        self.entry(key).map(|(_, value)| value)
    }

    fn entry(&self, key: &str) -> Option<(&'a Spanned<std::borrow::Cow<'a, str>>, &'a Spanned<DeValue<'a>>)> {
        self.entries.iter().find(|(name, _)| name.get_ref() == key)
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn finish(&self) -> Result<(), ConfigError> {
        let asked = self.asked.borrow();
        let unknown = self
            .entries
            .keys()
            .filter(|name| !asked.contains(&name.get_ref().as_ref()))
            .min_by_key(|name| name.span().start);
        unknown.map_or(Ok(()), |name| {
            let key: &str = name.get_ref();
            let nearest = nearest(key, asked.iter().copied());
            Err(ConfigError::UnknownKey { place: self.place(key), nearest })
        })
    }
}
