//! The wire, as the descriptor set tells it: what it is, and that it is explained.
//!
//! `UPDATE_EXPECT=1 cargo test -p taiwa --test contract` rewrites
//! `contract.golden`; read its diff as a client would.

use std::collections::BTreeSet;

use expect_test::expect_file;
use prost::Message as _;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
    FileDescriptorSet, MethodDescriptorProto, ServiceDescriptorProto,
    field_descriptor_proto::Label, method_options::IdempotencyLevel,
};

#[test]
fn the_wire_is_what_it_was() {
    let wire: String = current_parts()
        .iter()
        .filter(|part| part.is_on_the_wire())
        .map(|part| match &part.member {
            None => format!("\n{}\n", part.owner),
            Some(member) => format!("  {member}\n"),
        })
        .collect();
    expect_file!["contract.golden"].assert_eq(wire.trim_start());
}

#[test]
fn every_part_of_the_wire_is_explained() {
    let unexplained: Vec<_> = current_parts()
        .into_iter()
        .filter(|part| !part.explained)
        .map(|part| (part.owner, part.member))
        .collect();
    assert_eq!(unexplained, [], "no comment stands above these");
}

#[test]
fn what_was_released_keeps_its_number_name_and_type() {
    let released = FileDescriptorSet::decode(&include_bytes!("../proto/released.binpb")[..])
        .expect("proto/released.binpb is a descriptor set");
    let identity = |part: Part| (part.owner, part.member);
    let current: BTreeSet<_> = current_parts().into_iter().map(identity).collect();
    let released: BTreeSet<_> = parts(&released).into_iter().map(identity).collect();
    assert!(!released.is_empty(), "the released contract is not empty");
    let broken: Vec<_> = released.difference(&current).collect();
    assert!(broken.is_empty(), "changed or gone: {broken:#?}");
}

#[test]
fn every_import_is_in_the_set_for_reflection() {
    let descriptors = descriptors();
    let present: BTreeSet<_> = descriptors.file.iter().map(|file| file.name()).collect();
    let imports = descriptors.file.iter().flat_map(|file| &file.dependency);
    let missing: Vec<_> = imports
        .filter(|import| !present.contains(import.as_str()))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(present.contains("google/protobuf/struct.proto"));
}

/// One thing a client can name: a service, message, enum or oneof, or a member of one.
struct Part {
    owner: String,
    member: Option<String>,
    explained: bool,
}

impl Part {
    /// A oneof has no bytes of its own; its fields name it.
    fn is_on_the_wire(&self) -> bool {
        !self.owner.starts_with("oneof ")
    }
}

fn descriptors() -> FileDescriptorSet {
    FileDescriptorSet::decode(taiwa::FILE_DESCRIPTOR_SET).expect("a descriptor set")
}

fn current_parts() -> Vec<Part> {
    parts(&descriptors())
}

fn parts(descriptors: &FileDescriptorSet) -> Vec<Part> {
    let mut files: Vec<_> = descriptors
        .file
        .iter()
        .filter(|file| file.package() == "taiwa.v1")
        .collect();
    files.sort_by_key(|file| file.name());
    files
        .into_iter()
        .flat_map(|file| Walk::new(file).parts)
        .collect()
}

/// Collects the parts of one file, by the paths under which their comments are kept.
///
/// The numbers in the paths are those of the fields of `descriptor.proto`:
/// <https://github.com/protocolbuffers/protobuf/blob/v29.0/src/google/protobuf/descriptor.proto>
struct Walk {
    explained: BTreeSet<Vec<i32>>,
    parts: Vec<Part>,
}

impl Walk {
    fn new(file: &FileDescriptorProto) -> Self {
        let locations = file.source_code_info.iter().flat_map(|info| &info.location);
        let explained = locations
            .filter(|location| !location.leading_comments().trim().is_empty())
            .map(|location| location.path.clone())
            .collect();
        let mut walk = Self {
            explained,
            parts: Vec::new(),
        };
        for (path, service) in numbered(&[6], &file.service) {
            walk.service(path, service);
        }
        for (path, message) in numbered(&[4], &file.message_type) {
            walk.message(path, message, "");
        }
        for (path, declared) in numbered(&[5], &file.enum_type) {
            walk.enumeration(path, declared, "");
        }
        walk
    }

    fn add(&mut self, path: &[i32], owner: &str, member: Option<String>) {
        self.parts.push(Part {
            owner: owner.to_owned(),
            member,
            explained: self.explained.contains(path),
        });
    }

    fn service(&mut self, path: Vec<i32>, service: &ServiceDescriptorProto) {
        let owner = format!("service {}", service.name());
        self.add(&path, &owner, None);
        for (method_path, method) in numbered(&[&path[..], &[2]].concat(), &service.method) {
            self.add(&method_path, &owner, Some(method_line(method)));
        }
    }

    fn message(&mut self, path: Vec<i32>, message: &DescriptorProto, parent: &str) {
        let name = format!("{parent}{}", message.name());
        let owner = format!("message {name}");
        self.add(&path, &owner, None);
        for (field_path, field) in numbered(&[&path[..], &[2]].concat(), &message.field) {
            self.add(&field_path, &owner, Some(field_line(message, field)));
        }
        for (oneof_path, oneof) in numbered(&[&path[..], &[8]].concat(), &message.oneof_decl) {
            // The compiler makes one, named after the field, for each optional field.
            if !oneof.name().starts_with('_') {
                self.add(&oneof_path, &format!("oneof {name}.{}", oneof.name()), None);
            }
        }
        let inner = format!("{name}.");
        for (nested_path, nested) in numbered(&[&path[..], &[3]].concat(), &message.nested_type) {
            if !is_map_entry(nested) {
                self.message(nested_path, nested, &inner);
            }
        }
        for (enum_path, declared) in numbered(&[&path[..], &[4]].concat(), &message.enum_type) {
            self.enumeration(enum_path, declared, &inner);
        }
    }

    fn enumeration(&mut self, path: Vec<i32>, declared: &EnumDescriptorProto, parent: &str) {
        let owner = format!("enum {parent}{}", declared.name());
        self.add(&path, &owner, None);
        for (value_path, value) in numbered(&[&path[..], &[2]].concat(), &declared.value) {
            let line = format!("{} {}", value.number(), value.name());
            self.add(&value_path, &owner, Some(line));
        }
    }
}

fn numbered<'a, T>(path: &[i32], items: &'a [T]) -> impl Iterator<Item = (Vec<i32>, &'a T)> {
    (0..)
        .zip(items)
        .map(move |(index, item)| ([path, &[index]].concat(), item))
}

/// `InvokeStream(InvokeRequest) -> stream Event`
fn method_line(method: &MethodDescriptorProto) -> String {
    let stream = |streams| if streams { "stream " } else { "" };
    let idempotency = match method
        .options
        .as_ref()
        .map(|options| options.idempotency_level())
    {
        None | Some(IdempotencyLevel::IdempotencyUnknown) => String::new(),
        Some(level) => format!(" [{}]", level.as_str_name()),
    };
    format!(
        "{}({}{}) -> {}{}{idempotency}",
        method.name(),
        stream(method.client_streaming()),
        local(method.input_type()),
        stream(method.server_streaming()),
        local(method.output_type()),
    )
}

/// `12 frame_accepted: FrameAccepted (payload)`
fn field_line(message: &DescriptorProto, field: &FieldDescriptorProto) -> String {
    let kind = match map_entry(message, field) {
        Some(entry) => {
            let types: Vec<_> = entry.field.iter().map(type_name).collect();
            format!("map<{}>", types.join(", "))
        }
        None if field.label() == Label::Repeated => format!("repeated {}", type_name(field)),
        None if field.proto3_optional() => format!("optional {}", type_name(field)),
        None => type_name(field),
    };
    let oneof = match field.oneof_index {
        Some(index) if !field.proto3_optional() => {
            let index = usize::try_from(index).expect("an index is not negative");
            let oneof = &message.oneof_decl[index];
            format!(" ({})", oneof.name())
        }
        Some(_) | None => String::new(),
    };
    format!("{} {}: {kind}{oneof}", field.number(), field.name())
}

fn type_name(field: &FieldDescriptorProto) -> String {
    match field.type_name.as_deref() {
        Some(name) => local(name).to_owned(),
        None => field.r#type().as_str_name()["TYPE_".len()..].to_lowercase(),
    }
}

fn map_entry<'a>(
    message: &'a DescriptorProto,
    field: &FieldDescriptorProto,
) -> Option<&'a DescriptorProto> {
    let is_of_field = |entry: &&DescriptorProto| {
        is_map_entry(entry) && field.type_name().ends_with(&format!(".{}", entry.name()))
    };
    message.nested_type.iter().find(is_of_field)
}

fn is_map_entry(message: &DescriptorProto) -> bool {
    message
        .options
        .as_ref()
        .is_some_and(|options| options.map_entry())
}

fn local(full_name: &str) -> &str {
    let full_name = full_name.trim_start_matches('.');
    full_name.strip_prefix("taiwa.v1.").unwrap_or(full_name)
}
