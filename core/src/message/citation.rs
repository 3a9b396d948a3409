//! Generated text with its sources.

use serde::{Deserialize, Serialize};

/// Generated text with its sources.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CitedText {
    /// The text, in pieces as the model gave it.
    pub texts: Vec<String>,
    /// What supports it.
    pub citations: Vec<Citation>,
}

/// A pointer to a source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Citation {
    /// Title of the source; may be empty.
    pub title: String,
    /// Name or address of the source; may be empty.
    pub source: String,
    /// The words quoted from it.
    pub quotes: Vec<String>,
    /// Where in the source.
    pub location: Option<CitationLocation>,
}

impl Citation {
    /// Bytes that it holds in memory.
    pub fn size_bytes(&self) -> usize {
        let place = match &self.location {
            Some(CitationLocation::Web { url, domain }) => url.len() + domain.len(),
            Some(
                CitationLocation::DocumentCharacters(_)
                | CitationLocation::DocumentPages(_)
                | CitationLocation::DocumentChunks(_)
                | CitationLocation::SearchResult(_),
            )
            | None => 0,
        };
        let quotes: usize = self.quotes.iter().map(String::len).sum();
        self.title.len() + self.source.len() + quotes + place
    }
}

/// A place in a source; indexes count from 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CitationLocation {
    /// A web page.
    Web {
        /// Its address.
        url: String,
        /// Its domain.
        domain: String,
    },
    /// Characters of a document.
    DocumentCharacters(Range),
    /// Pages of a document.
    DocumentPages(Range),
    /// Chunks of a document.
    DocumentChunks(Range),
    /// Blocks of a search result.
    SearchResult(Range),
}

/// A range within one of the request's sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// Which source, from 0.
    pub index: i32,
    /// Start of the range.
    pub start: i32,
    /// End of the range.
    pub end: i32,
}
