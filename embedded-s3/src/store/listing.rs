//! Pages over keys in order, with a prefix and a delimiter, as S3 lists them.

use std::collections::BTreeMap;
use std::ops::Bound;

/// What to list.
#[derive(Debug, Default, Clone)]
pub(crate) struct PageQuery {
    pub(crate) prefix: String,
    /// Keys are rolled up to the first occurrence of it behind the prefix. Not empty.
    pub(crate) delimiter: Option<String>,
    /// Only entries (keys or rolled-up prefixes) above this.
    pub(crate) after: Option<String>,
    pub(crate) entries_max: usize,
}

/// One entry of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry<V> {
    Item(String, V),
    Prefix(String),
}

/// Some entries in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Page<V> {
    pub(crate) entries: Vec<Entry<V>>,
    /// Where the next page goes on; `None` on the last page.
    pub(crate) next_after: Option<String>,
}

impl<V> Entry<V> {
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Item(name, _) | Self::Prefix(name) => name,
        }
    }
}

/// One page of `map`. A rolled-up prefix costs one look-up, not a walk over its keys.
pub(crate) fn list_page<V: Clone>(map: &BTreeMap<String, V>, query: &PageQuery) -> Page<V> {
    let mut entries: Vec<Entry<V>> = Vec::new();
    let mut from = match &query.after {
        Some(after) if *after >= query.prefix => Bound::Excluded(after.clone()),
        _ => Bound::Included(query.prefix.clone()),
    };
    loop {
        let next = map
            .range::<String, _>((from.as_ref(), Bound::Unbounded))
            .next()
            .filter(|(key, _)| key.starts_with(&query.prefix) && query.entries_max > 0);
        let Some((key, value)) = next else {
            return Page {
                entries,
                next_after: None,
            };
        };
        let entry = match rolled_up(key, query) {
            Some(prefix) => Entry::Prefix(prefix.to_owned()),
            None => Entry::Item(key.clone(), value.clone()),
        };
        from = match &entry {
            // Past every key below the prefix: no key is above the highest character, but one that
            // holds it, and the check against `seen` below passes over those.
            Entry::Prefix(prefix) => Bound::Included(format!("{prefix}{}", char::MAX).max(key.clone())),
            Entry::Item(..) => Bound::Excluded(key.clone()),
        };
        let seen = entries.last().map(Entry::name).or(query.after.as_deref());
        if seen.is_some_and(|seen| entry.name() <= seen) {
            if let Bound::Included(at) = &from
                && at == key
            {
                from = Bound::Excluded(key.clone());
            }
            continue;
        }
        if entries.len() == query.entries_max {
            let next_after = entries.last().map(|last| last.name().to_owned());
            return Page { entries, next_after };
        }
        entries.push(entry);
    }
}

fn rolled_up<'a>(key: &'a str, query: &PageQuery) -> Option<&'a str> {
    let delimiter = query.delimiter.as_deref()?;
    let rest = key.get(query.prefix.len()..)?;
    let at = rest.find(delimiter)?;
    key.get(..query.prefix.len() + at + delimiter.len())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// Every entry, by walking over all keys.
    fn naive(keys: &BTreeSet<String>, query: &PageQuery) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for key in keys.iter().filter(|key| key.starts_with(&query.prefix)) {
            let name = rolled_up(key, query).unwrap_or(key);
            if names.last().is_none_or(|last| last != name) {
                names.push(name.to_owned());
            }
        }
        names.retain(|name| query.after.as_ref().is_none_or(|after| name > after));
        names
    }

    proptest! {
        #[test]
        fn pages_in_turn_hold_every_entry_once(
            keys in prop::collection::btree_set("[ab/\u{10FFFF}]{1,5}", 0..40),
            prefix in "[ab/]{0,2}",
            delimiter in prop::option::of("[b/]{1,2}"),
            after in prop::option::of("[ab/\u{10FFFF}]{0,4}"),
            entries_max in 1_usize..5,
        ) {
            let map: BTreeMap<String, u8> = keys.iter().map(|key| (key.clone(), 0)).collect();
            let mut query = PageQuery { prefix, delimiter, after, entries_max };
            let expected = naive(&keys, &query);
            let mut listed = Vec::new();
            loop {
                let page = list_page(&map, &query);
                prop_assert!(page.entries.len() <= entries_max);
                listed.extend(page.entries.iter().map(|entry| entry.name().to_owned()));
                match page.next_after {
                    Some(next) => query.after = Some(next),
                    None => break,
                }
            }
            prop_assert_eq!(listed, expected);
        }
    }

    #[test]
    fn page_of_no_entries_is_the_last() {
        let map = BTreeMap::from([("a".to_owned(), 0)]);
        let page = list_page(&map, &PageQuery::default());
        assert_eq!((page.entries.len(), page.next_after), (0, None));
    }
}
