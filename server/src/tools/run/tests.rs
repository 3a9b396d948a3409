use std::{
    future::Future,
    sync::atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use serde_json::json;
use taiwa_core::{
    Failure, Reason, Usage,
    media::{ImageFormat, MediaSource},
    message::Image,
    tool::{self, Executor, ToolCall},
};
use taiwa_tools::Function;
use tokio::time::sleep;

use super::*;

const RUN: RunId = RunId(7);

fn work<F>(body: impl Fn(Call) -> F + Send + Sync + 'static) -> Arc<dyn Tool>
where
    F: Future<Output = Result<Output, Error>> + Send + 'static,
{
    Arc::new(Function::new("work", "", r#"{"type":"object"}"#, body).unwrap())
}

fn tool_run(input_json: &str) -> ToolRun {
    ToolRun {
        run: RUN,
        turn_id: "turn-1".into(),
        stream: None,
        call: ToolCall {
            id: "call-1".to_owned(),
            name: "work".to_owned(),
            input_json: input_json.to_owned(),
            executor: Executor::Server,
            expires: None,
            idempotency_key: "key-1".to_owned(),
        },
        deadline: std::time::Instant::now() + Duration::from_secs(60),
        allowance: tool::Allowance {
            max_tokens: Some(5),
            max_cost: Some(6),
        },
    }
}

fn kept() -> Commit {
    let (commit, end) = Commit::pair();
    end(Ok(()));
    commit
}

/// All that a run says.
async fn said_by(tool: Option<Arc<dyn Tool>>, input_json: &str, most_bytes: usize) -> Vec<Said> {
    let (tx, mut rx) = mpsc::channel(64);
    let asked = tool_run(input_json);
    let gate = Arc::new(Gate::default());
    run(tool, asked, Caller::default(), most_bytes, kept(), gate, tx).await;
    let mut said = Vec::new();
    while let Some(next) = rx.recv().await {
        said.push(next);
    }
    said
}

/// What a run came to, of which it says nothing else.
async fn outcome_of(tool: Arc<dyn Tool>) -> RunOutcome {
    let said = said_by(Some(tool), "{}", 1_000).await;
    let [Said::Finished(RUN, outcome)] = &said[..] else {
        panic!("{said:?}");
    };
    outcome.clone()
}

/// The only text of a result.
fn text(outcome: &RunOutcome) -> &str {
    let [ToolResultBlock::Text(text)] = &outcome.content[..] else {
        panic!("{outcome:?}");
    };
    text
}

fn image(bytes: usize) -> ToolResultBlock {
    ToolResultBlock::Image(Image {
        format: ImageFormat::Png,
        source: Some(MediaSource::Bytes(Bytes::from(vec![0; bytes]))),
        error: None,
    })
}

#[tokio::test]
async fn a_tool_is_called_with_all_that_is_known_of_the_call() {
    let tool = work(|call| async move {
        assert_eq!(call.id, "call-1");
        assert_eq!(call.idempotency_key, "key-1");
        assert_eq!(call.caller.tenant, "");
        assert_eq!(call.max_result_bytes, 1_000);
        assert_eq!(call.allowance.max_tokens, Some(5));
        assert_eq!(call.allowance.max_cost, Some(6));
        assert!(call.deadline > std::time::Instant::now());
        Ok(Output::json(&json!({ "given": call.input })))
    });
    let said = said_by(Some(tool), r#"{"n":1}"#, 1_000).await;
    let [Said::Finished(RUN, outcome)] = &said[..] else {
        panic!("{said:?}");
    };
    assert_eq!(outcome.end, RunEnd::Succeeded);
    let expected = ToolResultBlock::Json(r#"{"given":{"n":1}}"#.to_owned());
    assert_eq!(outcome.content, [expected]);
}

#[tokio::test]
async fn an_end_is_told_as_the_tool_says_it() {
    let usage = Usage {
        input_tokens: 3,
        ..Usage::default()
    };
    let told = usage.clone();
    let failed = work(move |_| {
        let usage = Some(told.clone());
        async move {
            Ok(Output {
                is_error: true,
                usage,
                ..Output::text("no such city")
            })
        }
    });
    let outcome = outcome_of(failed).await;
    assert_eq!(
        (outcome.end, text(&outcome)),
        (RunEnd::Failed, "no such city")
    );
    assert_eq!(outcome.usage, Some(usage));

    let shapes: [fn() -> Error; 3] = [
        || Error::Failed("not there".to_owned()),
        || "not there".into(),
        || "not there".to_owned().into(),
    ];
    for error in shapes {
        let outcome = outcome_of(work(move |_| async move { Err(error()) })).await;
        assert_eq!((outcome.end, text(&outcome)), (RunEnd::Failed, "not there"));
    }

    let unknown = work(|_| async { Err(Error::Unknown("it broke off".to_owned())) });
    let outcome = outcome_of(unknown).await;
    assert_eq!(
        (outcome.end, text(&outcome)),
        (RunEnd::Unknown, "it broke off")
    );
}

#[tokio::test]
async fn a_panic_leaves_the_effect_unknown_and_tells_nothing_of_itself() {
    let at_once = work(|_| -> std::future::Ready<_> { panic!("secret of the tool") });
    let later = work(|_| async {
        sleep(Duration::from_millis(1)).await;
        panic!("secret of the tool")
    });
    for tool in [at_once, later] {
        let outcome = outcome_of(tool).await;
        assert_eq!(outcome.end, RunEnd::Unknown);
        assert!(text(&outcome).contains("not known"), "{outcome:?}");
        assert!(!text(&outcome).contains("secret"), "{outcome:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_called_has_not_run() {
    let said = said_by(None, "{}", 1_000).await;
    let [Said::Finished(RUN, outcome)] = &said[..] else {
        panic!("{said:?}");
    };
    assert_eq!(outcome.end, RunEnd::Failed);
    assert!(text(outcome).contains("did not run"), "{outcome:?}");

    let tool = work(|_| async { Ok(Output::text("it ran")) });
    for input in ["", "[]", "7"] {
        let said = said_by(Some(Arc::clone(&tool)), input, 1_000).await;
        let [Said::Finished(RUN, outcome)] = &said[..] else {
            panic!("{said:?}");
        };
        assert_eq!(outcome.end, RunEnd::Failed, "{input}");
        assert!(text(outcome).contains("did not run"), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_tool_is_called_once_the_ledger_has_its_call() {
    let (began, mut begun) = mpsc::channel(1);
    let tool = work(move |_| {
        let began = began.clone();
        async move {
            began.send(()).await.unwrap();
            Ok(Output::default())
        }
    });
    let (commit, end) = Commit::pair();
    let (tx, mut rx) = mpsc::channel(4);
    let (tool_run, caller) = (tool_run("{}"), Caller::default());
    let mut running = Box::pin(run(
        Some(tool),
        tool_run,
        caller,
        10,
        commit,
        Arc::new(Gate::default()),
        tx,
    ));
    assert!((&mut running).now_or_never().is_none());
    assert!(begun.try_recv().is_err(), "the store has not answered");
    end(Ok(()));
    running.await;
    begun.try_recv().unwrap();
    assert!(matches!(rx.recv().await, Some(Said::Finished(RUN, _))));
}

#[tokio::test]
async fn a_call_that_the_ledger_does_not_have_is_never_made() {
    let tool = work(|_| async { panic!("it was called") });
    let (commit, end) = Commit::pair();
    end(Err(Failure::new(Reason::StoreUnavailable, "full")));
    let (tx, mut rx) = mpsc::channel(4);
    run(
        Some(tool),
        tool_run("{}"),
        Caller::default(),
        10,
        commit,
        Arc::new(Gate::default()),
        tx,
    )
    .await;
    assert!(rx.recv().await.is_none(), "the session ends by itself");
}

#[tokio::test]
async fn progress_is_told_ten_times_a_second_at_most() {
    let tool = work(|call| async move {
        for number in 0..100 {
            call.progress.report(number.to_string());
            tokio::task::yield_now().await;
        }
        sleep(PROGRESS_EVERY).await;
        call.progress.report("the last");
        // Whoever reads it reads it before the tool ends.
        sleep(Duration::from_millis(1)).await;
        Ok(Output::default())
    });
    let start = Instant::now();
    let said = said_by(Some(tool), "{}", 1_000).await;
    let intervals = start.elapsed().as_millis() / PROGRESS_EVERY.as_millis();
    let (end, progress) = said.split_last().unwrap();
    assert!(matches!(end, Said::Finished(RUN, _)), "{end:?}");
    let told: Vec<&str> = progress
        .iter()
        .map(|said| match said {
            Said::Progress(RUN, text) => text.as_str(),
            other @ (Said::Progress(..) | Said::Finished(..)) => panic!("{other:?}"),
        })
        .collect();
    assert_eq!((told.first(), told.last()), (Some(&"0"), Some(&"the last")));
    assert!(
        told.len() as u128 <= 1 + intervals,
        "{told:?} in {intervals}"
    );
}

#[test]
fn a_result_that_fits_is_left_as_it_is() {
    let content = vec![
        ToolResultBlock::Text("x".repeat(600)),
        ToolResultBlock::Json("{}".to_owned()),
        image(100),
    ];
    let size: usize = content.iter().map(ToolResultBlock::size_bytes).sum();
    assert_eq!(bounded(content.clone(), size), content);
    assert_ne!(bounded(content.clone(), size - 1), content);
}

#[test]
fn a_result_that_is_too_large_is_cut_and_says_so() {
    let size = |content: &[ToolResultBlock]| -> usize {
        content.iter().map(ToolResultBlock::size_bytes).sum()
    };
    // Two bytes a character, so that a cut in the middle of one would show.
    let long = "é".repeat(1_000);
    for block in [
        ToolResultBlock::Text(long.clone()),
        // JSON that is cut is JSON no more.
        ToolResultBlock::Json(format!("\"{long}\"")),
    ] {
        let first = ToolResultBlock::Text("before".to_owned());
        let last = ToolResultBlock::Text("after".to_owned());
        let cut = bounded(vec![first.clone(), block, last], 1_001);
        assert!(size(&cut) <= 1_001, "{}", size(&cut));
        let [
            kept,
            ToolResultBlock::Text(part),
            ToolResultBlock::Text(note),
        ] = &cut[..]
        else {
            panic!("{cut:?}");
        };
        assert_eq!(*kept, first);
        assert!(part.len() > 700 && part.contains("éé"), "{}", part.len());
        assert!(note.contains("more than the 1001 that fit"), "{note}");
    }

    // Half a picture is none.
    let cut = bounded(vec![image(400), image(900), image(1)], 1_000);
    let [first, ToolResultBlock::Text(_)] = &cut[..] else {
        panic!("{cut:?}");
    };
    assert_eq!(*first, image(400));

    let many = vec![ToolResultBlock::Text("x".to_owned()); 300];
    let cut = bounded(many, 1_000);
    assert_eq!(cut.len(), 256);
    let Some(ToolResultBlock::Text(note)) = cut.last() else {
        panic!("{cut:?}");
    };
    assert!(note.contains("300 pieces"), "{note}");
}

#[tokio::test]
async fn a_tool_whose_gate_is_closed_makes_no_step() {
    let begun = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&begun);
    let tool = Function::new("count", "", r#"{"type":"object"}"#, move |_| {
        let counted = Arc::clone(&counted);
        async move {
            counted.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            counted.fetch_add(1, Ordering::Relaxed);
            Ok(Output::text("done"))
        }
    });
    let tool: Arc<dyn Tool> = Arc::new(tool.unwrap());
    for (steps, counted) in [(0, 0), (1, 1)] {
        begun.store(0, Ordering::Relaxed);
        let (tx, mut rx) = mpsc::channel(4);
        let gate = Arc::new(Gate::default());
        let asked = tool_run("{}");
        let running = run(
            Some(Arc::clone(&tool)),
            asked,
            Caller::default(),
            10,
            kept(),
            Arc::clone(&gate),
            tx,
        );
        let mut running = Box::pin(running);
        for _ in 0..steps {
            assert!(running.as_mut().now_or_never().is_none());
        }
        gate.close();
        running.await;
        assert_eq!(begun.load(Ordering::Relaxed), counted);
        assert!(rx.recv().await.is_none(), "nobody waits for what it says");
    }
}
