//! A file that cannot be used, and a disk that is full: defined errors, and nothing damaged.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, time::Instant};

use rusqlite::Connection;
use taiwa::v1 as pb;
use tonic::Status;

use crate::{
    SOON,
    child::Setup,
    kept,
    room::{self, Room},
    verdict::check_file,
    world::{Link, World, failed_turn, reason},
};

/// Starts a server that must end by itself, with exit code 1 and these words.
async fn check_refused(setup: &Setup, words: &str) {
    check_refused_as(setup, setup.command(), words).await;
}

async fn check_refused_as(setup: &Setup, command: tokio::process::Command, words: &str) {
    let before = setup.errors_len();
    let status = setup.spawn_as(command).ended().await;
    let said = setup.errors()[before..].to_owned();
    assert_eq!(status.code(), Some(1), "{said}");
    let error = said.lines().find(|line| line.starts_with("error: "));
    let error = error.unwrap_or_else(|| panic!("no error in {said:?}"));
    assert!(error.contains("cannot keep sessions in"), "{error}");
    assert!(error.contains(words), "{error}");
}

/// Makes a store with a session in it.
async fn filled() -> std::sync::Arc<World> {
    let world = World::new(&[]).await;
    let server = world.setup.start().await;
    world.announce(server.address);
    let link = world.link().await;
    for number in 0..20 {
        say(&link, number).await.unwrap();
    }
    assert_eq!(server.terminate(SOON).await.code(), Some(0));
    world
}

/// Runs a turn in a session of its own, by a request that may be repeated.
async fn say(link: &Link, number: usize) -> Result<pb::TurnResult, Status> {
    let request = pb::InvokeRequest {
        prompt: format!(
            "say something [fault.{number}] {}",
            "of some length ".repeat(40)
        ),
        session_id: format!("fault-{number}"),
        request_id: format!("fault-{number}"),
        ..pb::InvokeRequest::default()
    };
    let answer = link.agents().invoke(request).await?.into_inner();
    Ok(answer.result.unwrap())
}

#[tokio::test]
async fn a_file_that_is_in_use_is_refused() {
    let world = World::new(&[]).await;
    let server = world.setup.start().await;
    check_refused(&world.setup, "it is in use by another process").await;
    server.kill().await;
    let server = world.setup.start().await;
    assert_eq!(server.terminate(SOON).await.code(), Some(0));
}

#[tokio::test]
async fn what_is_not_ours_is_refused_and_left_as_it_is() {
    let world = World::new(&[]).await;
    let store = &world.setup.store;
    fs::write(store, "a text of somebody\n".repeat(100)).unwrap();
    check_left(store, &world.setup, "it is not a store of Taiwa").await;
    fs::remove_file(store).unwrap();
    let other = Connection::open(store).unwrap();
    other
        .execute_batch("CREATE TABLE song (name TEXT)")
        .unwrap();
    drop(other);
    check_left(store, &world.setup, "it is not a store of Taiwa").await;
}

#[tokio::test]
async fn a_store_of_a_later_version_is_refused_and_left_as_it_is() {
    let world = filled().await;
    let file = Connection::open(&world.setup.store).unwrap();
    file.pragma_update(None, "user_version", 999).unwrap();
    drop(file);
    let words = "it was written by a newer version of Taiwa (schema 999, ";
    check_left(&world.setup.store, &world.setup, words).await;
}

async fn check_left(store: &Path, setup: &Setup, words: &str) {
    let before = fs::read(store).unwrap();
    check_refused(setup, words).await;
    assert!(fs::read(store).unwrap() == before, "the file was changed");
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_refused() {
    let world = filled().await;
    let store = &world.setup.store;
    let folder = store.parent().unwrap();
    for (path, mode) in [(store.as_path(), 0o444), (folder, 0o555)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let mut command = world.setup.command();
    if room::is_root() {
        // Nothing is read-only to root: "nobody" it is.
        command.uid(65534).gid(65534);
    }
    check_refused_as(&world.setup, command, "it cannot be written").await;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test]
async fn a_lock_of_another_program_is_waited_for_and_told_of() {
    let world = filled().await;
    let other = Connection::open(&world.setup.store).unwrap();
    let lock = || other.execute_batch("BEGIN IMMEDIATE").unwrap();
    lock();
    check_refused(&world.setup, "it is locked by another program").await;
    other.execute_batch("ROLLBACK").unwrap();

    let server = world.setup.start().await;
    world.announce(server.address);
    let link = world.link().await;
    lock();
    let status = say(&link, 100).await.unwrap_err();
    assert_eq!(reason(&status), Some(pb::ErrorReason::StoreUnavailable));
    // What is there can be read meanwhile.
    let there = kept::turn(&link, "fault-3", "").await;
    assert_eq!(there.status(), pb::TurnStatus::Completed);
    other.execute_batch("ROLLBACK").unwrap();
    say(&link, 100).await.unwrap();
    drop(other);
    assert_eq!(server.terminate(SOON).await.code(), Some(0));
    check_file(&world.setup);
}

#[tokio::test]
async fn a_damaged_file_is_told_of_and_breaks_nothing_else() {
    let world = filled().await;
    let store = &world.setup.store;
    let whole = fs::read(store).unwrap();
    let pages = whole.len() / 4096;
    let (mut refused, mut failed, mut read) = (0, 0, 0);
    for page in 1..pages {
        let mut damaged = whole.clone();
        for byte in damaged[page * 4096..][..4096].iter_mut().step_by(7) {
            *byte ^= 0x5a;
        }
        // A log of the file that was whole would mend it.
        let _ = fs::remove_file(store.with_extension("db-wal"));
        let _ = fs::remove_file(store.with_extension("db-shm"));
        fs::write(store, &damaged).unwrap();
        let before = world.setup.errors_len();
        let ended = match world.setup.spawn().outcome().await {
            Ok(server) => {
                world.announce(server.address);
                let link = world.link().await;
                for number in 0..20 {
                    match say(&link, number).await {
                        Ok(result) => {
                            assert_eq!(result.status(), pb::TurnStatus::Completed);
                            read += 1;
                        }
                        Err(status) => {
                            let told = reason(&status);
                            let is_defined = matches!(
                                told,
                                Some(pb::ErrorReason::StoreUnavailable | pb::ErrorReason::Internal)
                            );
                            assert!(is_defined, "page {page}: {status:?}");
                            failed += 1;
                        }
                    }
                }
                server.terminate(SOON).await
            }
            Err(status) => {
                refused += 1;
                assert_eq!(status.code(), Some(1), "page {page}");
                continue;
            }
        };
        let said = world.setup.errors()[before..].to_owned();
        assert!(!said.contains("panicked"), "page {page}: {said}");
        assert_eq!(ended.code(), Some(0), "page {page}: {said}");
    }
    eprintln!(
        "{pages} pages damaged one at a time: {refused} starts refused, {failed} calls failed, \
         {read} were answered"
    );
    assert!(refused + failed > 0);
}

#[tokio::test]
async fn a_full_disk_is_told_of_and_the_server_goes_on_when_there_is_room() {
    for room in [Room::limit(), Room::disk().await] {
        let Some(room) = room else { continue };
        fill_up(room).await;
    }
}

async fn fill_up(mut room: Room) {
    let began = Instant::now();
    let world = World::new(&[]).await;
    let mut setup = world.setup.clone();
    setup.store = room.folder().join("store.db");
    let server = setup.spawn_as(room.confine(setup.command())).ready().await;
    world.announce(server.address);
    let link = world.link().await;
    let mut answered = 0;
    let status = loop {
        match say(&link, answered).await {
            Ok(_) => answered += 1,
            Err(status) => break status,
        }
        assert!(began.elapsed() < SOON, "{answered} turns found room");
    };
    assert_eq!(
        reason(&status),
        Some(pb::ErrorReason::StoreUnavailable),
        "{status:?}"
    );
    assert!(answered > 0);
    // What was acknowledged is there, and can be read; what was not is not.
    for number in 0..answered {
        let there = kept::turn(&link, &format!("fault-{number}"), "").await;
        assert_eq!(there.status(), pb::TurnStatus::Completed);
    }
    room.widen(&server).await;
    let mut number = answered;
    let again = loop {
        match say(&link, number).await {
            Ok(result) => break result,
            // The turn had begun when the room ended: it is told as any that a process left.
            Err(status) if failed_turn(&status).is_some() => number += 1,
            Err(status) => {
                let told = reason(&status);
                assert_eq!(told, Some(pb::ErrorReason::StoreUnavailable), "{status:?}");
            }
        }
        assert!(began.elapsed() < SOON, "no room is found again");
    };
    assert!(number <= answered + 1);
    assert_eq!(again.status(), pb::TurnStatus::Completed);
    server.kill().await;

    let server = setup.start().await;
    world.announce(server.address);
    let link = world.other_link(&link, &status).await;
    assert_eq!(kept::count_sessions(&link).await, number + 1);
    for number in (0..answered).chain([number]) {
        let there = kept::turn(&link, &format!("fault-{number}"), "").await;
        assert_eq!(there.status(), pb::TurnStatus::Completed);
    }
    assert_eq!(server.terminate(SOON).await.code(), Some(0));
    check_file(&setup);
    eprintln!(
        "{room:?}: full after {answered} turns, and went on; {:.1?}",
        began.elapsed()
    );
    assert!(!setup.errors().contains("panicked"), "{}", setup.errors());
}
