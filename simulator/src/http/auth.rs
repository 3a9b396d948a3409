//! Whether a request is signed: by SigV4, or by a Bedrock API key as bearer token.
//!
//! The signature is looked at, not verified: the simulator knows no secret keys.

use http::{HeaderMap, header};

use crate::exception::Exception;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// Hexadecimal digits of a SHA-256 signature.
const SIGNATURE_LEN: usize = 64;

pub(super) fn check(headers: &HeaderMap) -> Result<(), Exception> {
    let authorization = headers
        .get(header::AUTHORIZATION)
        .and_then(|it| it.to_str().ok());
    let Some(authorization) = authorization else {
        return Err(missing());
    };
    match authorization.split_once(' ') {
        Some(("Bearer", token)) if !token.trim().is_empty() => Ok(()),
        Some((ALGORITHM, fields)) => check_signature(authorization, fields, headers),
        _ => Err(missing()),
    }
}

/// The words of the AWS front end:
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/signature-v4-troubleshooting.html>
fn check_signature(whole: &str, fields: &str, headers: &HeaderMap) -> Result<(), Exception> {
    let field = |name: &str| {
        let mut fields = fields
            .split(',')
            .filter_map(|field| field.trim().split_once('='));
        fields.find(|(key, _)| *key == name).map(|(_, value)| value)
    };
    for name in ["Credential", "Signature", "SignedHeaders"] {
        if field(name).is_none_or(str::is_empty) {
            return Err(incomplete(format!(
                "Authorization header requires '{name}' parameter. Authorization={whole}"
            )));
        }
    }
    let scope: Vec<&str> = field("Credential").unwrap_or("").split('/').collect();
    let [.., date, _region, service, terminator] = scope[..] else {
        return Err(incomplete(
            "Credential must have at least 5 slash-delimited elements".to_owned(),
        ));
    };
    if scope.len() < 5 || terminator != "aws4_request" || date.len() != 8 {
        return Err(incomplete(
            "Credential should be scoped to a valid date, region, service and terminator"
                .to_owned(),
        ));
    }
    if service != "bedrock" {
        return Err(Exception::new(
            "InvalidSignatureException",
            format!("Credential should be scoped to correct service: 'bedrock'. Got '{service}'."),
        ));
    }
    let signature = field("Signature").unwrap_or("");
    if signature.len() != SIGNATURE_LEN || !signature.bytes().all(|it| it.is_ascii_hexdigit()) {
        return Err(incomplete(
            "Signature must be 64 hexadecimal digits".to_owned(),
        ));
    }
    if !headers.contains_key("x-amz-date") && !headers.contains_key(header::DATE) {
        return Err(incomplete(format!(
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. Authorization={whole}"
        )));
    }
    Ok(())
}

fn missing() -> Exception {
    Exception::new(
        "MissingAuthenticationTokenException",
        "Missing Authentication Token",
    )
}

fn incomplete(message: String) -> Exception {
    Exception::new("IncompleteSignatureException", message)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const SIGNATURE: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn signed_requests_and_api_keys_pass() {
        assert_eq!(
            verdict(&signed("AKID/20260101/us-east-1/bedrock/aws4_request")),
            "ok"
        );
        assert_eq!(verdict("Bearer bedrock-api-key-abc"), "ok");
    }

    #[test]
    fn what_is_missing_is_named() {
        for (authorization, expected) in [
            (
                "",
                "MissingAuthenticationTokenException: Missing Authentication Token",
            ),
            (
                "Basic abc",
                "MissingAuthenticationTokenException: Missing Authentication Token",
            ),
            (
                "Bearer  ",
                "MissingAuthenticationTokenException: Missing Authentication Token",
            ),
            (
                "AWS4-HMAC-SHA256 Credential=a",
                "IncompleteSignatureException: Authorization header requires 'Signature' \
                 parameter. Authorization=AWS4-HMAC-SHA256 Credential=a",
            ),
        ] {
            assert_eq!(verdict(authorization), expected);
        }
        let wrong = verdict(&signed("AKID/20260101/us-east-1/s3/aws4_request"));
        assert!(wrong.starts_with("InvalidSignatureException"), "{wrong}");
        let short = verdict(&signed("AKID/bedrock/aws4_request"));
        assert!(short.starts_with("IncompleteSignatureException"), "{short}");
    }

    fn signed(credential: &str) -> String {
        format!("{ALGORITHM} Credential={credential}, SignedHeaders=host, Signature={SIGNATURE}")
    }

    fn verdict(authorization: &str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert("x-amz-date", HeaderValue::from_static("20260101T000000Z"));
        if !authorization.is_empty() {
            headers.insert(header::AUTHORIZATION, authorization.parse().unwrap());
        }
        match check(&headers) {
            Ok(()) => "ok".to_owned(),
            Err(exception) => format!("{}: {}", exception.name, exception.message),
        }
    }
}
