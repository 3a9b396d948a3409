//! Sizes of pages, alike in every list.

/// Rows on a page where the caller names no number, and the most that it may name.
const SIZES: (usize, usize) = (50, 200);

/// Reads the field `page_size`.
///
/// # Errors
///
/// What it must be, when it is negative.
pub fn size(given: i32) -> Result<usize, &'static str> {
    let (usual, most) = SIZES;
    match usize::try_from(given) {
        Ok(0) => Ok(usual),
        Ok(size) => Ok(size.min(most)),
        Err(_) => Err("must not be negative"),
    }
}
