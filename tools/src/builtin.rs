//! Tools that every server can offer: the time, and pages of addresses that are allowed.

mod allowed;
mod clock;
mod fetch;

pub use self::{
    allowed::{AllowedUrl, AllowedUrlError},
    clock::current_time,
    fetch::{HttpGetConfig, HttpGetError, http_get},
};
