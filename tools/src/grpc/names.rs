//! What methods are called as tools.

use std::collections::HashMap;

use prost_reflect::MethodDescriptor;

/// Longest name of a tool, in characters.
///
/// <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ToolSpecification.html>
const MAX_CHARACTERS: usize = 64;

/// Names for methods, in their order: no two are the same.
///
/// A method has its own name where no other has it, else its service's before it, else its full
/// name. What is too long ends in a digest of the full name.
pub(super) fn for_methods(methods: &[MethodDescriptor]) -> Vec<String> {
    let ways: [fn(&MethodDescriptor) -> String; 3] = [
        |method| method.name().to_owned(),
        |method| format!("{}_{}", method.parent_service().name(), method.name()),
        |method| method.full_name().replace('.', "_"),
    ];
    let taken = ways.map(|way| {
        let mut counts = HashMap::new();
        for method in methods {
            *counts.entry(way(method)).or_insert(0) += 1;
        }
        counts
    });
    methods
        .iter()
        .map(|method| {
            let names = ways.iter().zip(&taken);
            let free = names
                .map(|(way, taken)| (way(method), taken))
                .find(|(name, taken)| taken.get(name) == Some(&1))
                .map(|(name, _taken)| name);
            match free {
                Some(name) if name.len() <= MAX_CHARACTERS => name,
                name => shortened(&name.unwrap_or_default(), method.full_name()),
            }
        })
        .collect()
}

fn shortened(name: &str, full_name: &str) -> String {
    let digest = format!("_{:08x}", digest(full_name));
    let kept = name.len().min(MAX_CHARACTERS - digest.len());
    // Names in descriptors are ASCII, so that any byte ends a character.
    format!("{}{digest}", name.get(..kept).unwrap_or_default())
}

/// FNV-1a: the same in every build, unlike the standard library's hasher.
///
/// <http://www.isthe.com/chongo/tech/comp/fnv/>
fn digest(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests {
    use crate::grpc::tests::pool;

    use super::*;

    #[test]
    fn a_method_keeps_its_name_until_two_have_it() {
        let long = "Counts".repeat(12);
        let pool = pool(&format!(
            "package shop.v1;
             message M {{}}
             service Inventory {{
               rpc GetStock(M) returns (M);
               rpc Find(M) returns (M);
               rpc {long}(M) returns (M);
             }}
             service Archive {{ rpc Find(M) returns (M); }}"
        ));
        let methods: Vec<_> = pool
            .services()
            .flat_map(|service| service.methods().collect::<Vec<_>>())
            .collect();

        let names = for_methods(&methods);

        assert_eq!(names[0], "GetStock");
        assert_eq!(names[1], "Inventory_Find");
        assert_eq!(names[2].len(), 64);
        assert!(names[2].starts_with("CountsCounts"), "{}", names[2]);
        assert_eq!(names[3], "Archive_Find");
    }
}
