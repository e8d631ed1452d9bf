//! Connecting the ports of the stages of one cell.

use std::rc::Rc;

use super::collect::Collector;
use super::files::Written;
use super::stage::{Alone, Outcome, place_of_input};
use crate::stage::InputPort;

/// What an input port reads, by number within the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Link {
    /// An external input and the kind that the port asks for.
    Input(usize, &'static str),
    /// A stage and its output port.
    Stage(usize, String),
}

/// Links by port, in the order of the manifest.
pub(super) type Links = Vec<(String, Link)>;

/// Connects every stage that is ready; what is wrong is reported.
pub(super) fn connect(
    written: &Written,
    outcomes: &[Outcome],
    collector: &mut Collector,
) -> Vec<Links> {
    let mut cell = Cell {
        written,
        outcomes,
        collector,
    };
    outcomes
        .iter()
        .enumerate()
        .map(|(index, outcome)| match outcome {
            Outcome::Ready(alone) => cell.stage(index, alone),
            Outcome::LeftOut | Outcome::Broken => Links::new(),
        })
        .collect()
}

/// Names that a hint lists.
const LISTED: usize = 6;

struct Cell<'a, 'c> {
    written: &'a Written,
    outcomes: &'a [Outcome],
    collector: &'c mut Collector,
}

type Problem = (String, Option<String>);

impl Cell<'_, '_> {
    fn stage(&mut self, index: usize, this: &Rc<Alone>) -> Links {
        let mut links = Links::with_capacity(this.inputs.len());
        let Some((name, node)) = self.written.stages.get_index(index) else {
            return links;
        };
        for (port, reference) in &this.inputs {
            let declared = this.ports.inputs.iter().find(|p| p.name == *port);
            let found = match declared {
                Some(InputPort {
                    closed: Some(why), ..
                }) => Err((
                    format!("input `{port}` has no use here"),
                    Some((*why).to_owned()),
                )),
                Some(declared) => self.source(declared, reference),
                None => {
                    let names = this.ports.inputs.iter().map(|p| &*p.name);
                    let message = format!("stage `{}` has no input `{port}`", this.stage.id());
                    Err((message, self.collector.suggest(port, names)))
                }
            };
            match found {
                Ok(Some(link)) => links.push((port.clone(), link)),
                // The stage it refers to has an issue of its own, or is left out and not needed.
                Ok(None) => {}
                Err((message, hint)) => {
                    let place = place_of_input(node, port);
                    let key = format!("stages.{name}.inputs.{port}");
                    self.collector.error(place, &key, message, hint);
                }
            }
        }
        for port in this.ports.inputs.iter().filter(|port| !port.optional) {
            if !this.inputs.contains_key(&*port.name) {
                let (name_of_port, expected) = (&port.name, port.expected());
                let message = format!("input `{name_of_port}` ({expected}) is not connected");
                let hint = self.candidates(port);
                let key = format!("stages.{name}");
                self.collector.error(node.place, &key, message, hint);
            }
        }
        if this.splits.is_some() && !this.ports.inputs.iter().any(|port| port.per_split) {
            let message = format!("stage `{}` does not run once per split", this.stage.id());
            let place = node.get("splits").unwrap_or(node).place;
            let key = format!("stages.{name}.splits");
            self.collector.error(place, &key, message, None);
        }
        links
    }

    fn source(&mut self, port: &InputPort, reference: &str) -> Result<Option<Link>, Problem> {
        if let Some(index) = self.written.inputs.get_index_of(reference) {
            let kind = port.kinds.last().copied().unwrap_or_default();
            return Ok(Some(Link::Input(index, kind)));
        }
        let (stage, output) = match reference.split_once('.') {
            Some((stage, output)) => (stage, Some(output)),
            None => (reference, None),
        };
        let Some(index) = self.written.stages.get_index_of(stage) else {
            let names = self.written.inputs.keys().chain(self.written.stages.keys());
            let hint = self.collector.suggest(stage, names.map(String::as_str));
            let reference = super::node::shorten(reference);
            let message = format!("`{reference}` is neither an input nor a stage");
            return Err((message, hint));
        };
        let provider = match &self.outcomes[index] {
            Outcome::Ready(provider) => provider,
            Outcome::LeftOut if port.optional => return Ok(None),
            Outcome::LeftOut => {
                let message = format!(
                    "`{stage}` is left out by its `when`, and input `{}` is needed",
                    port.name
                );
                let hint = "give this stage the same `when`".to_owned();
                return Err((message, Some(hint)));
            }
            Outcome::Broken => return Ok(None),
        };
        let outputs = &provider.ports.outputs;
        let found = match output {
            Some(output) => match outputs.iter().find(|p| p.name == output) {
                Some(found) => found,
                None => {
                    let names = outputs.iter().map(|p| &*p.name);
                    let hint = self.collector.suggest(output, names);
                    return Err((format!("stage `{stage}` has no output `{output}`"), hint));
                }
            },
            None => {
                let mut fitting = outputs.iter().filter(|p| port.accepts(&p.kind));
                match (fitting.next(), fitting.next()) {
                    (Some(only), None) => only,
                    (None, _) => {
                        let message = format!(
                            "`{stage}` provides no {}, which input `{}` expects",
                            port.expected(),
                            port.name
                        );
                        return Err((message, None));
                    }
                    (Some(_), Some(_)) => {
                        let names: Vec<String> = outputs
                            .iter()
                            .filter(|p| port.accepts(&p.kind))
                            .map(|p| format!("`{stage}.{}`", p.name))
                            .collect();
                        let message = format!("`{reference}` could be any of {}", names.join(", "));
                        return Err((message, Some("name the output".to_owned())));
                    }
                }
            }
        };
        if !port.accepts(&found.kind) {
            let message = format!(
                "input `{}` expects {}, but `{stage}.{}` provides {}",
                port.name,
                port.expected(),
                found.name,
                found.kind
            );
            return Err((message, None));
        }
        if found.splits.is_some() && !port.per_split {
            let message = format!("input `{}` cannot take the splits of `{stage}`", port.name);
            return Err((message, None));
        }
        Ok(Some(Link::Stage(index, found.name.clone().into_owned())))
    }

    /// What could be connected to a port, as a hint.
    fn candidates(&self, port: &InputPort) -> Option<String> {
        if self.collector.is_full() {
            return None;
        }
        let outputs = self
            .written
            .stages
            .keys()
            .zip(self.outcomes)
            .filter_map(|(name, outcome)| match outcome {
                Outcome::Ready(alone) => Some((name, alone)),
                Outcome::LeftOut | Outcome::Broken => None,
            })
            .flat_map(|(name, alone)| {
                let fitting = alone.ports.outputs.iter().filter(|p| port.accepts(&p.kind));
                fitting.map(move |p| format!("`{name}.{}`", p.name))
            });
        let inputs = self.written.inputs.keys().map(|name| format!("`{name}`"));
        let some: Vec<String> = outputs.chain(inputs).take(LISTED).collect();
        (!some.is_empty()).then(|| format!("it could be {}", some.join(" or ")))
    }
}
