//! The tools of an agent: one table for each source.

use std::{collections::BTreeMap, env, path::PathBuf, str::FromStr, sync::Arc};

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use taiwa_core::tool::{Approval, Schema};
use taiwa_tools::{Fixed, Tool, builtin, grpc, mcp};
use toml::Spanned;

use super::{Context, FileError, entry::json, values::ToolName};
use crate::{
    config::units::{Size, Span},
    tools::{Mount, Origin, Pattern, agent::AgentRef},
};

/// A source as it is written: one of the sub-tables, and what holds for any source.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ToolsTable {
    #[serde(default)]
    prefix: Option<Spanned<ToolName>>,
    #[serde(default)]
    allow: Vec<PatternText>,
    approval: Option<Spanned<ApprovalTable>>,
    timeout: Option<Span>,
    grpc: Option<Spanned<GrpcTable>>,
    mcp: Option<Spanned<McpTable>>,
    agent: Option<Spanned<AgentTable>>,
    builtin: Option<Spanned<Vec<BuiltinWord>>>,
    http_get: Option<Spanned<HttpGetTable>>,
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct PatternText(Pattern);

impl TryFrom<String> for PatternText {
    type Error = crate::tools::PatternError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Pattern::from_str(&text).map(Self)
    }
}

#[derive(Deserialize)]
#[serde(try_from = "toml::Value")]
enum ApprovalTable {
    Never,
    Always,
    /// The schema of inputs that need consent.
    When(toml::Table),
}

/// Why a value does not say when consent is asked for.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("must be \"never\", \"always\" or {{ when = SCHEMA }}")]
struct ApprovalError;

impl TryFrom<toml::Value> for ApprovalTable {
    type Error = ApprovalError;

    fn try_from(value: toml::Value) -> Result<Self, Self::Error> {
        let mut table = match value {
            toml::Value::String(word) if word == "never" => return Ok(Self::Never),
            toml::Value::String(word) if word == "always" => return Ok(Self::Always),
            toml::Value::Table(table) => table,
            toml::Value::String(_)
            | toml::Value::Integer(_)
            | toml::Value::Float(_)
            | toml::Value::Boolean(_)
            | toml::Value::Datetime(_)
            | toml::Value::Array(_) => return Err(ApprovalError),
        };
        match (table.remove("when"), table.is_empty()) {
            (Some(toml::Value::Table(schema)), true) => Ok(Self::When(schema)),
            _ => Err(ApprovalError),
        }
    }
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum BuiltinWord {
    CurrentTime,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GrpcTable {
    endpoint: String,
    methods: Vec<String>,
    descriptor_set: Option<PathBuf>,
    #[serde(default)]
    metadata: BTreeMap<String, Spanned<String>>,
    #[serde(default)]
    forward_metadata: Vec<Spanned<String>>,
    tls: Option<TlsTable>,
    stream_result: Option<StreamWord>,
    connect_timeout: Option<Span>,
    max_message_size: Option<Size>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StreamWord {
    Last,
    All,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TlsTable {
    ca: Option<PathBuf>,
    client_certificate: Option<Spanned<PathBuf>>,
    client_key: Option<Spanned<PathBuf>>,
    server_name: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct McpTable {
    name: Option<String>,
    command: Option<Spanned<Vec<String>>>,
    #[serde(default)]
    env: BTreeMap<String, Spanned<String>>,
    cwd: Option<PathBuf>,
    url: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, Spanned<String>>,
    bearer: Option<Spanned<String>>,
    #[serde(default)]
    forward_metadata: Vec<Spanned<String>>,
    start_timeout: Option<Span>,
    shortest_pause: Option<Span>,
    longest_pause: Option<Span>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AgentTable {
    id: String,
    name: Option<ToolName>,
    #[serde(default)]
    description: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HttpGetTable {
    allow: Vec<Spanned<String>>,
    max_size: Option<Size>,
    timeout: Option<Span>,
}

impl Context<'_> {
    /// Reads a source of tools.
    pub(super) fn mount(&self, table: Spanned<ToolsTable>) -> Result<Mount, FileError> {
        let place = table.span().start;
        let table = table.into_inner();
        let mut origins = Vec::new();
        if let Some(grpc) = table.grpc {
            origins.push(Origin::Grpc(self.grpc(grpc)?));
        }
        if let Some(mcp) = table.mcp {
            origins.push(Origin::Mcp(self.mcp(mcp)?));
        }
        if let Some(agent) = table.agent {
            let agent = agent.into_inner();
            origins.push(Origin::Agent(AgentRef {
                name: agent.name.map_or_else(|| agent.id.clone(), String::from),
                id: agent.id,
                description: agent.description,
            }));
        }
        if let Some(words) = table.builtin {
            let place = words.span().start;
            let mut tools: Vec<Arc<dyn Tool>> = Vec::new();
            for word in words.get_ref() {
                let made = match word {
                    BuiltinWord::CurrentTime => builtin::current_time(),
                };
                // Its own schema is one.
                let made = made.map_err(|error| self.fault("builtin", place, error.to_string()))?;
                tools.push(Arc::new(made));
            }
            origins.push(Origin::Own(Arc::new(Fixed::new(tools))));
        }
        if let Some(table) = table.http_get {
            origins.push(Origin::Own(Arc::new(Fixed::new(vec![
                self.http_get(table)?,
            ]))));
        }
        let mut origins = origins.into_iter();
        let (Some(origin), None) = (origins.next(), origins.next()) else {
            let problem = "must have one of grpc, mcp, agent, builtin and http_get";
            return Err(self.fault("tools", place, problem));
        };
        Ok(Mount {
            origin,
            prefix: table
                .prefix
                .map_or_else(String::new, |prefix| prefix.into_inner().into()),
            allow: table.allow.into_iter().map(|pattern| pattern.0).collect(),
            approval: table
                .approval
                .map(|approval| self.approval(approval))
                .transpose()?,
            timeout: table.timeout.map(Span::duration),
        })
    }

    fn approval(&self, table: Spanned<ApprovalTable>) -> Result<Approval, FileError> {
        let place = table.span().start;
        let when = match table.into_inner() {
            ApprovalTable::Never => return Ok(Approval::Never),
            ApprovalTable::Always => return Ok(Approval::Always),
            ApprovalTable::When(schema) => schema,
        };
        let schema = json(toml::Value::Table(when)).ok_or_else(|| {
            self.fault("approval", place, "must hold what JSON can say: no dates")
        })?;
        Schema::parse(&schema.to_string())
            .map(Approval::When)
            .map_err(|error| {
                let problem = format!("has a when that is {error}");
                self.fault("approval", place, problem)
            })
    }

    fn grpc(&self, table: Spanned<GrpcTable>) -> Result<grpc::Config, FileError> {
        let table = table.into_inner();
        let mut config = grpc::Config::new(table.endpoint, table.methods);
        config.descriptor_set = table.descriptor_set.map(|path| self.folder.join(path));
        config.metadata = self.headers("metadata", table.metadata)?;
        config.forward_metadata = self.names(table.forward_metadata)?;
        config.tls = table.tls.map(|tls| self.tls(tls)).transpose()?;
        if let Some(word) = table.stream_result {
            config.stream_result = match word {
                StreamWord::Last => grpc::StreamResult::Last,
                StreamWord::All => grpc::StreamResult::All,
            };
        }
        if let Some(timeout) = table.connect_timeout {
            config.connect_timeout = timeout.duration();
        }
        if let Some(size) = table.max_message_size {
            config.max_message_bytes = size.bytes();
        }
        Ok(config)
    }

    fn tls(&self, table: TlsTable) -> Result<grpc::Tls, FileError> {
        let file = |path: PathBuf| self.folder.join(path);
        let client = match (table.client_certificate, table.client_key) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some(grpc::ClientCertificate {
                certificate: file(certificate.into_inner()),
                key: file(key.into_inner()),
            }),
            (Some(alone), None) => {
                let problem = "must be set together with client_key";
                return Err(self.fault("client_certificate", alone.span().start, problem));
            }
            (None, Some(alone)) => {
                let problem = "must be set together with client_certificate";
                return Err(self.fault("client_key", alone.span().start, problem));
            }
        };
        Ok(grpc::Tls {
            ca: table.ca.map(file),
            client,
            server_name: table.server_name,
        })
    }

    fn mcp(&self, table: Spanned<McpTable>) -> Result<mcp::Config, FileError> {
        let place = table.span().start;
        let table = table.into_inner();
        let stdio_alone =
            table.headers.is_empty() && table.bearer.is_none() && table.forward_metadata.is_empty();
        let http_alone = table.env.is_empty() && table.cwd.is_none();
        let (name, transport) = match (table.command, table.url) {
            (Some(command), None) if stdio_alone => {
                let place = command.span().start;
                let mut words = command.into_inner().into_iter();
                let Some(program) = words.next().filter(|program| !program.is_empty()) else {
                    return Err(self.fault("command", place, "must begin with a program"));
                };
                let mut env = BTreeMap::new();
                for (name, value) in table.env {
                    env.insert(name, self.secret("env", value)?);
                }
                let args: Vec<String> = words.collect();
                let name = format!("{program} {}", args.join(" ")).trim().to_owned();
                let transport = mcp::Transport::Stdio {
                    command: program,
                    args,
                    env,
                    cwd: table.cwd.map(|path| self.folder.join(path)),
                };
                (name, transport)
            }
            (None, Some(url)) if http_alone => {
                let transport = mcp::Transport::Http {
                    url: url.clone(),
                    headers: self.headers("headers", table.headers)?,
                    bearer: table
                        .bearer
                        .map(|bearer| self.secret("bearer", bearer))
                        .transpose()?,
                    forward_metadata: self.names(table.forward_metadata)?,
                };
                (url, transport)
            }
            (Some(_), None) | (None, Some(_)) => {
                let problem = "takes env and cwd with command; headers, bearer and \
                               forward_metadata with url";
                return Err(self.fault("mcp", place, problem));
            }
            (Some(_), Some(_)) | (None, None) => {
                let problem =
                    "must have either a command, of a program and its arguments, or a url";
                return Err(self.fault("mcp", place, problem));
            }
        };
        let mut config = mcp::Config::new(table.name.unwrap_or(name), transport);
        let spans = [
            (table.start_timeout, &mut config.start_timeout),
            (table.shortest_pause, &mut config.shortest_pause),
            (table.longest_pause, &mut config.longest_pause),
        ];
        for (given, place) in spans {
            *place = given.map_or(*place, Span::duration);
        }
        if config.shortest_pause > config.longest_pause {
            let problem = "must not be longer than longest_pause";
            return Err(self.fault("shortest_pause", place, problem));
        }
        Ok(config)
    }

    fn http_get(&self, table: Spanned<HttpGetTable>) -> Result<Arc<dyn Tool>, FileError> {
        let place = table.span().start;
        let table = table.into_inner();
        let mut allow = Vec::new();
        for text in &table.allow {
            let url = builtin::AllowedUrl::from_str(text.get_ref());
            allow.push(url.map_err(|error| {
                let problem = format!("must name what may be asked: {error}");
                self.fault("allow", text.span().start, problem)
            })?);
        }
        if allow.is_empty() {
            return Err(self.fault("http_get", place, "must allow at least one address"));
        }
        let mut config = builtin::HttpGetConfig::new(allow);
        if let Some(size) = table.max_size {
            config.max_bytes = size.bytes();
        }
        if let Some(timeout) = table.timeout {
            config.timeout = timeout.duration();
        }
        let tool = builtin::http_get(config)
            .map_err(|error| self.fault("http_get", place, error.to_string()))?;
        Ok(Arc::new(tool))
    }

    /// A text that may be in a variable: `env:NAME`.
    fn secret(&self, key: &'static str, text: Spanned<String>) -> Result<String, FileError> {
        let place = text.span().start;
        let text = text.into_inner();
        let Some(name) = text.strip_prefix("env:") else {
            return Ok(text);
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "the file says which variables it is read with"
        )]
        let value = env::var(name);
        value.map_err(|_| {
            let problem = format!("names a variable that is not set: {name}");
            self.fault(key, place, problem)
        })
    }

    fn headers(
        &self,
        key: &'static str,
        table: BTreeMap<String, Spanned<String>>,
    ) -> Result<HeaderMap, FileError> {
        let mut headers = HeaderMap::new();
        for (name, value) in table {
            let place = value.span().start;
            let value = self.secret(key, value)?;
            let name = self.name(key, place, &name)?;
            let mut value = HeaderValue::from_str(&value).map_err(|_| {
                self.fault(key, place, "must have values of printable ASCII characters")
            })?;
            value.set_sensitive(true);
            headers.append(name, value);
        }
        Ok(headers)
    }

    fn names(&self, names: Vec<Spanned<String>>) -> Result<Vec<HeaderName>, FileError> {
        let names = names
            .iter()
            .map(|name| self.name("forward_metadata", name.span().start, name.get_ref()));
        names.collect()
    }

    fn name(&self, key: &'static str, place: usize, text: &str) -> Result<HeaderName, FileError> {
        HeaderName::from_str(&text.to_ascii_lowercase()).map_err(|_| {
            let problem = format!("must name metadata or a header, which {text:?} cannot be");
            self.fault(key, place, problem)
        })
    }
}
