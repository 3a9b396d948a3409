use std::collections::BTreeMap;

use taiwa_core::tool::Schema;
use taiwa_tools::{Error, Fixed, Function, Output, Source, Tools};
use tokio::{sync::watch, time::timeout};

use super::*;
use crate::{
    agents::Agents,
    grpc::convert::fixture,
    tools::{Mount, Toolbox, agent::AgentRef},
};

/// Longest wait for what must come.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

fn tool(name: &str) -> Arc<dyn Tool> {
    described(name, "")
}

fn described(name: &str, description: &str) -> Arc<dyn Tool> {
    let body = |_| async { Ok::<_, Error>(Output::default()) };
    Arc::new(Function::new(name, description, r#"{"type":"object"}"#, body).unwrap())
}

fn tools(names: &[&str]) -> Vec<Arc<dyn Tool>> {
    names.iter().map(|name| tool(name)).collect()
}

fn mount(source: impl Source + 'static) -> Mount {
    Mount {
        origin: Origin::Own(Arc::new(source)),
        prefix: String::new(),
        allow: Vec::new(),
        approval: None,
        timeout: None,
    }
}

fn fixed(names: &[&str]) -> Mount {
    mount(Fixed::new(tools(names)))
}

/// What an agent with these mounts is offered.
fn offered(mounts: impl IntoIterator<Item = Mount>) -> Offer {
    let mounted = mounts.into_iter().map(|mount| {
        let Origin::Own(source) = &mount.origin else {
            panic!("{mount:?}");
        };
        let source = Arc::clone(source);
        (mount, source.tools(), source)
    });
    offer("a", &mut mounted.collect::<Vec<_>>())
}

fn names(offer: &Offer) -> Vec<&str> {
    offer.set.iter().map(|tool| &*tool.spec.name).collect()
}

fn patterns(texts: &[&str]) -> Vec<Pattern> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// A source whose tools a test changes.
#[derive(Debug)]
struct Changing(watch::Receiver<Tools>);

impl Source for Changing {
    fn tools(&self) -> watch::Receiver<Tools> {
        self.0.clone()
    }
}

#[test]
fn a_prefix_stands_before_the_names_that_the_model_knows() {
    let files = Mount {
        prefix: "files_".to_owned(),
        ..fixed(&["read", "write"])
    };
    let offer = offered([files, fixed(&["read"])]);
    assert_eq!(names(&offer), ["files_read", "files_write", "read"]);
    // Each leads to the tool as its source knows it.
    let own = |name: &str| &*offer.find(name).unwrap().definition().name;
    assert_eq!(own("files_read"), "read");
    assert_eq!(own("files_write"), "write");
    assert!(offer.find("write").is_none());
}

#[test]
fn what_is_allowed_is_named_as_in_its_source() {
    let allowed = |texts: &[&str]| {
        let mount = Mount {
            prefix: "x_".to_owned(),
            allow: patterns(texts),
            ..fixed(&["get", "get_all", "set", "set_all"])
        };
        let offer = offered([mount]);
        names(&offer).join(" ")
    };
    assert_eq!(allowed(&[]), "x_get x_get_all x_set x_set_all");
    assert_eq!(allowed(&["get"]), "x_get");
    assert_eq!(allowed(&["get*"]), "x_get x_get_all");
    assert_eq!(allowed(&["set_all", "get"]), "x_get x_set_all");
    assert_eq!(allowed(&["*"]), "x_get x_get_all x_set x_set_all");
    assert_eq!(allowed(&["x_get", "g"]), "");
}

#[test]
fn a_pattern_is_a_name_or_its_beginning() {
    for text in ["", "a*b", "*a", "**"] {
        assert_eq!(text.parse::<Pattern>(), Err(PatternError), "{text:?}");
    }
    for text in ["a", "a*", "*"] {
        assert!(text.parse::<Pattern>().is_ok(), "{text:?}");
    }
}

#[test]
fn of_two_tools_with_one_name_the_first_is_offered() {
    let first = mount(Fixed::new(vec![described("find", "first")]));
    let second = mount(Fixed::new(vec![described("find", "second"), tool("other")]));
    let offer = offered([first, second]);
    assert_eq!(names(&offer), ["find", "other"]);
    assert_eq!(offer.set.find("find").unwrap().spec.description, "first");
    let found = offer.find("find").unwrap();
    assert_eq!(found.definition().description, "first");
}

#[test]
fn names_that_bedrock_would_refuse_are_left_out() {
    let long = "n".repeat(60);
    let sound = ["a", "A-b_9", &long];
    let unsound = ["", "a.b", "a b", "ü", "a/b"];
    let all: Vec<&str> = sound.into_iter().chain(unsound).collect();
    assert_eq!(names(&offered([fixed(&all)])), sound);

    let prefixed = Mount {
        prefix: "five_".to_owned(),
        ..fixed(&all)
    };
    assert_eq!(
        names(&offered([prefixed])),
        ["five_a", "five_A-b_9", "five_"],
        "the prefix counts"
    );
}

#[test]
fn what_holds_for_a_source_holds_for_each_of_its_tools() {
    let timeout = std::time::Duration::from_secs(7);
    let when = Approval::When(Schema::parse("{}").unwrap());
    let strict = Mount {
        approval: Some(when.clone()),
        timeout: Some(timeout),
        ..fixed(&["pay", "refund"])
    };
    let offer = offered([strict, fixed(&["look"])]);
    let spec = |name: &str| offer.set.find(name).unwrap().spec.clone();
    for name in ["pay", "refund"] {
        assert_eq!(spec(name).approval, Some(when.clone()));
        assert_eq!(spec(name).timeout, Some(timeout));
    }
    // Which a caller's wish can only tighten.
    assert_eq!(spec("look").approval, Some(Approval::Never));
    assert_eq!(spec("look").timeout, None);
    assert!(offer.set.iter().all(|tool| !tool.spends));
}

#[tokio::test]
async fn an_offer_follows_its_sources_and_outlives_them() {
    let (one_tx, one_rx) = watch::channel::<Tools>(tools(&["one"]).into());
    let (other_tx, other_rx) = watch::channel::<Tools>(tools(&["other"]).into());
    let one = Mount {
        allow: patterns(&["one", "two*"]),
        ..mount(Changing(one_rx))
    };
    let agents = Arc::new(Agents::only(fixture::agent()));
    let mounts = vec![mount(Changing(other_rx)), one];
    let mounts = BTreeMap::from([("assistant".to_owned(), mounts)]);
    let toolbox = Toolbox::start(mounts, &agents).await.unwrap();
    let mut offers = toolbox.offers(agents.default_agent()).unwrap();
    assert_eq!(names(&offers.borrow_and_update()), ["other", "one"]);

    one_tx.send_replace(tools(&["two_a", "two_b", "three"]).into());
    timeout(PATIENCE, offers.changed()).await.unwrap().unwrap();
    let offer = Arc::clone(&offers.borrow_and_update());
    assert_eq!(names(&offer), ["other", "two_a", "two_b"]);
    assert!(offer.find("two_b").is_some() && offer.find("one").is_none());

    // A source that has ended keeps what it has, and the other is followed on.
    drop(one_tx);
    other_tx.send_replace(Tools::default());
    timeout(PATIENCE, offers.changed()).await.unwrap().unwrap();
    assert_eq!(names(&offers.borrow_and_update()), ["two_a", "two_b"]);
    drop(other_tx);
    assert_eq!(names(&offers.borrow()), ["two_a", "two_b"]);
}

#[tokio::test]
async fn an_agent_without_sources_has_no_offer_and_one_that_is_an_agent_spends() {
    let agents = Arc::new(Agents::only(fixture::agent()));
    let asked = |id: &str, name: &str| Mount {
        origin: Origin::Agent(AgentRef {
            id: id.to_owned(),
            name: name.to_owned(),
            description: String::new(),
        }),
        ..fixed(&[])
    };
    let mounts = BTreeMap::from([(
        "assistant".to_owned(),
        vec![asked("assistant", "ask"), asked("nobody", "ask_nobody")],
    )]);
    let toolbox = Toolbox::start(mounts, &agents).await.unwrap();
    let offers = toolbox.offers(agents.default_agent()).unwrap();
    let offer = offers.borrow();
    assert_eq!(names(&offer), ["ask"]);
    let tool = offer.set.find("ask").unwrap();
    assert!(tool.spends);
    assert_eq!(tool.spec.description, "Answers", "that of the agent");

    let toolbox = Toolbox::start(BTreeMap::new(), &agents).await.unwrap();
    assert!(toolbox.offers(agents.default_agent()).is_none());
}
