//! Which addresses may be asked, and what lies behind a name.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use reqwest::Url;

/// An address whose pages may be fetched: `scheme://host[:port][/path prefix]`.
///
/// The scheme is `http` or `https`, and no other will do; the host is one host, not what is below it.
/// A path prefix covers what is below it: `/a` covers `/a` and `/a/b`, not `/ab`.
///
/// A host whose addresses are private (of a local network, of this machine, of a cloud's metadata) is
/// refused even so, unless the host is written as that address, or is `localhost`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedUrl {
    url: Url,
}

/// Why a text is no [`AllowedUrl`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no address of the form http[s]://host[:port][/path prefix]")]
pub struct AllowedUrlError(String);

impl FromStr for AllowedUrl {
    type Err = AllowedUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_plain = |url: &Url| {
            is_http(url)
                && !has_credentials(url)
                && url.query().is_none()
                && url.fragment().is_none()
                && !text.contains('*')
        };
        let url = Url::parse(text).ok().filter(is_plain);
        let url = url.ok_or_else(|| AllowedUrlError(text.to_owned()))?;
        Ok(Self { url })
    }
}

impl fmt::Display for AllowedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.url.fmt(f)
    }
}

impl AllowedUrl {
    /// Whether an address is this one, or below it.
    pub(super) fn covers(&self, url: &Url) -> bool {
        let prefix = self.url.path().trim_end_matches('/');
        let path = url.path();
        let is_below = path
            .strip_prefix(prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        // An encoded separator may lead out of the prefix, where the server decodes it.
        let lower = path.to_ascii_lowercase();
        let is_plain = !lower.contains("%2f") && !lower.contains("%5c");
        url.scheme() == self.url.scheme()
            && url.host() == self.url.host()
            && url.port_or_known_default() == self.url.port_or_known_default()
            && is_below
            && (is_plain || prefix.is_empty())
            && !has_credentials(url)
    }
}

pub(super) fn is_http(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https") && url.has_host()
}

fn has_credentials(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

/// Whether an address is of the public internet.
///
/// After the registries of special addresses:
/// <https://www.iana.org/assignments/iana-ipv4-special-registry>,
/// <https://www.iana.org/assignments/iana-ipv6-special-registry>.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || a == 0
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (18..20).contains(&b))
        // Multicast, reserved, broadcast.
        || a >= 224)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let embedded = match segments {
        // Mapped and compatible addresses, and those of a translator: 64:ff9b::/96.
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            Some((high, low))
        }
        // 6to4.
        [0x2002, high, low, ..] => Some((high, low)),
        _ => None,
    };
    if let Some((high, low)) = embedded {
        return is_public_v4(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    }
    // Of what is left, 2000::/3 is what is given out.
    let is_given_out = segments[0] & 0xe000 == 0x2000;
    // 2001::/23 is for protocols, 2001:db8::/32 and 3fff::/20 are for documents.
    let is_special = segments[0] == 0x2001 && (segments[1] < 0x200 || segments[1] == 0xdb8);
    is_given_out && !is_special && !(segments[0] == 0x3fff && segments[1] < 0x1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(allowed: &str, url: &str, is_covered: bool) {
        let allowed: AllowedUrl = allowed.parse().expect("it is allowed");
        let parsed = Url::parse(url).expect("an address");
        assert_eq!(allowed.covers(&parsed), is_covered, "{allowed} and {url}");
    }

    #[test]
    fn an_address_covers_itself_and_what_is_below_it() {
        check("https://example.com", "https://example.com/", true);
        check("https://example.com", "https://EXAMPLE.com:443/a?b=c", true);
        check("https://example.com/a", "https://example.com/a", true);
        check("https://example.com/a/", "https://example.com/a/b", true);
        check("http://10.0.0.1:8080", "http://10.0.0.1:8080/x", true);
        check("http://10.0.0.1", "http://0x0a000001/", true);
    }

    #[test]
    fn nothing_else_is_covered() {
        check("https://example.com", "http://example.com/", false);
        check("https://example.com", "https://example.com:8443/", false);
        check(
            "https://example.com",
            "https://example.com.evil.net/",
            false,
        );
        check("https://example.com", "https://www.example.com/", false);
        check("https://example.com", "https://user@example.com/", false);
        check(
            "https://example.com",
            "https://example.com@evil.net/",
            false,
        );
        check("https://example.com/a", "https://example.com/ab", false);
        check("https://example.com/a", "https://example.com/a/../b", false);
        check(
            "https://example.com/a",
            "https://example.com/a/%2e%2e/b",
            false,
        );
        check(
            "https://example.com/a",
            "https://example.com/a/..%2Fb",
            false,
        );
        check(
            "https://example.com/a",
            "https://example.com/a\\..\\b",
            false,
        );
    }

    #[test]
    fn what_is_no_plain_address_is_refused() {
        for text in [
            "",
            "example.com",
            "ftp://example.com",
            "https://*.example.com",
            "https://u:p@x.y",
            "https://x.y/?a",
            "file:///etc",
        ] {
            let refused = text.parse::<AllowedUrl>();
            assert_eq!(refused, Err(AllowedUrlError(text.into())));
        }
    }

    #[test]
    fn addresses_of_local_networks_and_machines_are_not_public() {
        for address in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "::ffff:127.0.0.1",
            "fe80::1",
            "fc00::1",
            "fd00:ec2::254",
            "fec0::1",
            "ff02::1",
            "64:ff9b::a00:1",
            "2002:7f00:1::",
            "2001:db8::1",
            "2001::1",
        ] {
            let address = address.parse().expect("an address");
            assert!(!is_public(address), "{address}");
        }
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "100.128.0.1",
            "2606:4700::1111",
            "::ffff:1.1.1.1",
            "64:ff9b::101:101",
        ] {
            let address = address.parse().expect("an address");
            assert!(is_public(address), "{address}");
        }
    }
}
