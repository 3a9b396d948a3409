//! The reference server of files.

use std::fs;

use serde_json::json;
use taiwa_server::tools::Origin;

use crate::{
    ask, ask_each, check_ends, mount,
    place::{piped, reference_server},
    world,
};

#[tokio::test(flavor = "multi_thread")]
async fn each_tool_works_on_real_files_and_none_leaves_its_folder() {
    let Some(script) = reference_server("server-filesystem") else {
        return;
    };
    let folder = tempfile::tempdir().expect("there is room");
    let folder = folder.path().canonicalize().expect("it is there");
    let path = |name: &str| folder.join(name).display().to_string();
    let seed = |name: &str, text: &[u8]| fs::write(path(name), text).expect("there is room");
    seed("tea.txt", b"green\nblack\n");
    seed("old.txt", b"old\n");
    seed("edited.txt", b"old\n");
    seed("dot.png", b"\x89PNG\r\n\x1a\n");
    let origin = Origin::Mcp(piped(&script, &path("")));
    // The persona knows words, and no places in a file.
    let edit = json!({
        "path": path("edited.txt"),
        "edits": [{"oldText": "old", "newText": "new"}],
    });
    let scenario = format!(
        "[[reply]]\nwhen = {{ prompt_is = \"edit it\", has_tool_result = false }}\n\
         content = [{{ tool_use = {{ id = \"a\", name = \"edit_file\", input = '{edit}' }} }}]\n"
    );
    let world = world(&scenario, vec![mount(origin, "")]).await;

    // Values stand in quotes, in the order of the fields: the persona cuts the slash off a path that
    // stands behind its field's name.
    let told = ask_each(&world, |tool| match tool {
        "edit_file" => "edit it".to_owned(),
        "read_media_file" => format!("with \"{}\"", path("dot.png")),
        "write_file" => format!("with \"{}\" and \"oolong\"", path("new.txt")),
        "move_file" => format!("with \"{}\" and \"{}\"", path("old.txt"), path("moved.txt")),
        "create_directory" => format!("with \"{}\"", path("made")),
        "search_files" => format!("with \"{}\" and \"**/*.txt\"", path("")),
        "list_directory" | "list_directory_with_sizes" | "directory_tree" => {
            format!("with \"{}\"", path(""))
        }
        _ => format!("with \"{}\"", path("tea.txt")),
    })
    .await;

    check_ends(&told, &[]);
    assert!(told.len() >= 13, "{:?}", told.keys());
    let read = |name: &str| fs::read_to_string(path(name)).unwrap_or_default();
    assert_eq!(read("new.txt"), "oolong");
    assert_eq!(read("moved.txt"), "old\n");
    assert_eq!(read("edited.txt"), "new\n");
    assert!(folder.join("made").is_dir());
    for tool in ["read_file", "read_text_file", "read_multiple_files"] {
        assert!(told[tool].words().contains("black"), "{:#?}", told[tool]);
    }

    let mut client = world.client().await;
    let outside = ask(&mut client, "read_text_file", "with \"/etc/passwd\"").await;
    assert_eq!(outside.status(), taiwa::v1::ToolCallStatus::Failed);
    assert!(outside.words().contains("denied"), "{outside:#?}");
    world.server.stop().await;
}
