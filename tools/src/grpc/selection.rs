//! Which methods a configuration lists.

use prost_reflect::{DescriptorPool, MethodDescriptor, ServiceDescriptor};

use super::StartError;

/// A method, or all methods, of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    text: String,
    service: String,
    /// `None` means all.
    method: Option<String>,
}

impl Pattern {
    /// Reads the patterns of a configuration.
    pub(super) fn parse_all(texts: &[String]) -> Result<Vec<Self>, StartError> {
        if texts.is_empty() {
            return Err(StartError::NoMethods);
        }
        texts.iter().map(|text| Self::parse(text)).collect()
    }

    fn parse(text: &str) -> Result<Self, StartError> {
        let pattern = text.to_owned();
        let Some((service, method)) = text.split_once('/') else {
            return Err(StartError::Pattern { pattern });
        };
        let is_service = service.split('.').all(is_identifier);
        let is_method = method == "*" || is_identifier(method);
        if !is_service || !is_method {
            return Err(StartError::Pattern { pattern });
        }
        if is_reflection(service) {
            return Err(StartError::Reflection { pattern });
        }
        Ok(Self {
            text: pattern,
            service: service.to_owned(),
            method: (method != "*").then(|| method.to_owned()),
        })
    }

    /// Full name of the service.
    pub(super) fn service(&self) -> &str {
        &self.service
    }

    /// The error for a service that is not among `known`.
    pub(super) fn unknown_service(&self, known: impl IntoIterator<Item = String>) -> StartError {
        let mut known: Vec<_> = known
            .into_iter()
            .filter(|name| !is_reflection(name))
            .collect();
        known.sort_unstable();
        StartError::UnknownService {
            pattern: self.text.clone(),
            service: self.service.clone(),
            known,
        }
    }

    fn methods(&self, service: &ServiceDescriptor) -> Result<Vec<MethodDescriptor>, StartError> {
        let listed: Vec<_> = service
            .methods()
            .filter(|method| {
                self.method
                    .as_ref()
                    .is_none_or(|name| name == method.name())
            })
            .collect();
        let names = |methods: &mut dyn Iterator<Item = MethodDescriptor>| {
            methods.map(|method| method.name().to_owned()).collect()
        };
        let mut streaming = listed.iter().filter(|m| m.is_client_streaming()).cloned();
        let streaming: Vec<_> = names(&mut streaming);
        let pattern = self.text.clone();
        if !streaming.is_empty() {
            return Err(StartError::ClientStreaming { pattern, streaming });
        }
        if listed.is_empty() {
            let known = names(&mut service.methods());
            return Err(StartError::UnknownMethod { pattern, known });
        }
        Ok(listed)
    }
}

/// The methods that `patterns` list, each once, in their order.
pub(super) fn select(
    pool: &DescriptorPool,
    patterns: &[Pattern],
) -> Result<Vec<MethodDescriptor>, StartError> {
    let mut selected: Vec<MethodDescriptor> = Vec::new();
    for pattern in patterns {
        let Some(service) = pool.get_service_by_name(&pattern.service) else {
            let known = pool
                .services()
                .map(|service| service.full_name().to_owned());
            return Err(pattern.unknown_service(known));
        };
        for method in pattern.methods(&service)? {
            if !selected.contains(&method) {
                selected.push(method);
            }
        }
    }
    Ok(selected)
}

fn is_reflection(service: &str) -> bool {
    service.starts_with("grpc.reflection.")
}

fn is_identifier(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && text.starts_with(|c: char| !c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use crate::grpc::tests::pool;

    use super::*;

    const SHOP: &str = "package shop.v1;
        message M {}
        service Inventory {
          rpc Get(M) returns (M);
          rpc Watch(M) returns (stream M);
        }
        service Uploads {
          rpc Put(stream M) returns (M);
          rpc Talk(stream M) returns (stream M);
          rpc Count(M) returns (M);
        }";

    #[track_caller]
    fn check(patterns: &[&str], expected: Result<&[&str], &str>) {
        let texts: Vec<_> = patterns.iter().map(|text| (*text).to_owned()).collect();
        let selected =
            Pattern::parse_all(&texts).and_then(|patterns| select(&pool(SHOP), &patterns));
        let names = selected.map(|methods| {
            let names = methods.iter().map(|method| method.full_name().to_owned());
            names.collect::<Vec<_>>()
        });
        assert_eq!(
            names.map_err(|error| error.to_string()),
            expected
                .map(|names| names.iter().map(|name| (*name).to_owned()).collect())
                .map_err(str::to_owned)
        );
    }

    #[test]
    fn a_method_is_listed_alone_or_with_its_service_and_is_there_once() {
        check(
            &[
                "shop.v1.Inventory/*",
                "shop.v1.Inventory/Get",
                "shop.v1.Uploads/Count",
            ],
            Ok(&[
                "shop.v1.Inventory.Get",
                "shop.v1.Inventory.Watch",
                "shop.v1.Uploads.Count",
            ]),
        );
    }

    #[test]
    fn what_is_not_there_is_refused_with_what_is() {
        check(
            &["shop.v1.Inventry/*"],
            Err(
                "methods: `shop.v1.Inventry/*`: there is no service shop.v1.Inventry; \
                 there are: shop.v1.Inventory, shop.v1.Uploads",
            ),
        );
        check(
            &["shop.v1.Inventory/get"],
            Err(
                "methods: `shop.v1.Inventory/get`: the service has no such method; \
                 it has: Get, Watch",
            ),
        );
    }

    #[test]
    fn methods_to_which_the_client_streams_are_refused_by_name() {
        check(
            &["shop.v1.Uploads/*"],
            Err(
                "methods: `shop.v1.Uploads/*`: the client streams to Put, Talk, \
                 which a tool cannot; list the other methods instead",
            ),
        );
        check(
            &["shop.v1.Uploads/Put"],
            Err(
                "methods: `shop.v1.Uploads/Put`: the client streams to Put, \
                 which a tool cannot; take it off",
            ),
        );
    }

    #[test]
    fn what_names_no_method_is_refused() {
        for text in [
            "",
            "shop.v1.Inventory",
            "/Get",
            "shop..v1/Get",
            "*/*",
            "a.B/C/D",
            "a.B/C*",
        ] {
            let pattern = text.to_owned();
            assert_eq!(Pattern::parse(text), Err(StartError::Pattern { pattern }));
        }
        assert_eq!(Pattern::parse_all(&[]), Err(StartError::NoMethods));
    }

    #[test]
    fn reflection_is_never_a_tool() {
        let pattern = "grpc.reflection.v1alpha.ServerReflection/*".to_owned();
        assert_eq!(
            Pattern::parse(&pattern),
            Err(StartError::Reflection { pattern })
        );
    }
}
