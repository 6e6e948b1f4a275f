//! Pages: one row more than asked for tells whether there is a next one.

use super::{DocQuery, Document, Page};
use crate::error::{Error, Result};

impl<T> Page<T> {
    /// The first `limit` of `rows`, and the key of the last one to go on from if there are more.
    pub fn of(mut rows: Vec<T>, limit: usize, key: impl Fn(&T) -> String) -> Self {
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| more).map(key);
        Self { items: rows, next }
    }

    /// The same page of what `f` makes of its rows.
    pub fn map<U>(self, f: impl FnMut(T) -> U) -> Page<U> {
        Page {
            items: self.items.into_iter().map(f).collect(),
            next: self.next,
        }
    }

    /// The limit of a query as a number of rows.
    ///
    /// # Errors
    /// `Invalid` unless it is 1 to 1000.
    pub fn limit(limit: u32) -> Result<usize> {
        match limit {
            1..=1000 => Ok(limit as usize),
            _ => Err(Error::invalid("/limit", "A page has 1 to 1000 rows.")),
        }
    }
}

impl DocQuery {
    /// Its limit as a number of rows.
    ///
    /// # Errors
    /// `Invalid` unless it is 1 to 1000, and the number of the index value 0 to 2.
    pub fn rows(&self) -> Result<usize> {
        match self.index {
            Some((3.., _)) => Err(Error::invalid("/index", "Index values are number 0 to 2.")),
            _ => Page::<Document>::limit(self.limit),
        }
    }
}

/// The first text that comes after every text with this prefix, in the order of code points; `None` if there is none.
pub fn prefix_end(prefix: &str) -> Option<String> {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        if let Some(next) = (last..=char::MAX).nth(1) {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_where_the_next_begins() {
        for (prefix, end) in [
            ("", None),
            ("a", Some("b")),
            ("a/", Some("a0")),
            ("\u{d7ff}", Some("\u{e000}")),
            ("a\u{10ffff}", Some("b")),
            ("\u{10ffff}", None),
        ] {
            assert_eq!(prefix_end(prefix).as_deref(), end, "{prefix:?}");
        }
    }
}
