//! The stages of all cells together: what comes out the same in several is one stage.

use indexmap::IndexMap;
use std::rc::Rc;

use super::connect::{Link, Links};
use super::files::Written;
use super::matrix::Matrix;
use super::naming::names;
use super::params::Keys;
use super::stage::{Alone, Outcome};
use super::{ResolvedStage, Source};

/// What decides whether two stages are the same: kind, parameters and splits; seed; what they read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Identity {
    stage: usize,
    content: usize,
    seed: Option<u64>,
    links: Links,
    /// Of a stage that reads itself in a circle, which the plan reports: the cell.
    circular: Option<usize>,
}

/// A stage in the cells that share it; its links name other variants.
struct Variant {
    alone: Rc<Alone>,
    links: Links,
    seed: u64,
    stage: usize,
    cells: Vec<usize>,
}

/// The matrix params that reach things: they are what a difference can come from.
pub(super) struct Reach {
    pub(super) seed: Keys,
    pub(super) inputs: Vec<Keys>,
    /// Of stages by themselves; those of what they read are added as cells are.
    pub(super) stages: Vec<Keys>,
}

/// Collects cells.
pub(super) struct Cells<'a> {
    written: &'a Written,
    reach: Reach,
    variants: Vec<Variant>,
    known: IndexMap<Identity, usize>,
    /// Paths of inputs, each with the cells in which it is that path.
    inputs: Vec<(usize, String, Vec<usize>)>,
    known_inputs: IndexMap<(usize, String), usize>,
    /// By cell: the variants of its stages.
    of_cells: Vec<Vec<(usize, usize)>>,
}

/// The stages and inputs under their names.
pub(super) struct Built {
    pub(super) inputs: IndexMap<String, String>,
    pub(super) stages: IndexMap<String, ResolvedStage>,
    /// By cell: names by what the manifest calls the stages.
    pub(super) of_cells: Vec<IndexMap<String, String>>,
}

impl<'a> Cells<'a> {
    pub(super) fn new(written: &'a Written, reach: Reach) -> Self {
        Self {
            written,
            reach,
            variants: Vec::new(),
            known: IndexMap::new(),
            inputs: Vec::new(),
            known_inputs: IndexMap::new(),
            of_cells: Vec::new(),
        }
    }

    /// Adds a cell without problems.
    pub(super) fn add(
        &mut self,
        number: usize,
        seed: u64,
        paths: &[String],
        outcomes: &[Outcome],
        links: Vec<Links>,
    ) {
        let inputs: Vec<usize> = paths
            .iter()
            .enumerate()
            .map(|(input, path)| self.input(number, input, path))
            .collect();
        let (order, circular) = order(&links);
        let mut variant_of = vec![usize::MAX; outcomes.len()];
        let mut links: Vec<Option<Links>> = links.into_iter().map(Some).collect();
        let mut of_cell = Vec::with_capacity(outcomes.len());
        let mut unresolved = Vec::new();
        for (place, &stage) in order.iter().enumerate() {
            let Outcome::Ready(alone) = &outcomes[stage] else {
                continue;
            };
            let own = links[stage].take().unwrap_or_default();
            let mut reach = self.reach.stages[stage];
            if alone.is_seeded {
                reach |= self.reach.seed;
            }
            for (_, link) in &own {
                reach |= match link {
                    Link::Input(input, _) => self.reach.inputs[*input],
                    Link::Stage(provider, _) => self.reach.stages[*provider],
                };
            }
            self.reach.stages[stage] = reach;
            let circle = place >= order.len() - circular;
            let (own, raw) = match circle {
                false => (relink(own, &inputs, &variant_of), None),
                true => (Links::new(), Some(own)),
            };
            let identity = Identity {
                stage,
                content: alone.content,
                seed: alone.is_seeded.then_some(seed),
                links: own,
                circular: circle.then_some(number),
            };
            let variant = match self.known.get(&identity) {
                Some(&variant) => variant,
                None => {
                    self.variants.push(Variant {
                        alone: Rc::clone(alone),
                        links: identity.links.clone(),
                        seed,
                        stage,
                        cells: Vec::new(),
                    });
                    let variant = self.variants.len() - 1;
                    self.known.insert(identity, variant);
                    variant
                }
            };
            self.variants[variant].cells.push(number);
            variant_of[stage] = variant;
            of_cell.push((stage, variant));
            unresolved.extend(raw.map(|raw| (variant, raw)));
        }
        for (variant, raw) in unresolved {
            self.variants[variant].links = relink(raw, &inputs, &variant_of);
        }
        of_cell.sort_unstable();
        self.of_cells.push(of_cell);
    }

    fn input(&mut self, cell: usize, input: usize, path: &str) -> usize {
        let next = self.inputs.len();
        let variant = *self
            .known_inputs
            .entry((input, path.to_owned()))
            .or_insert(next);
        if variant == next {
            self.inputs.push((input, path.to_owned(), Vec::new()));
        }
        self.inputs[variant].2.push(cell);
        variant
    }

    /// Gives everything its name.
    pub(super) fn finish(self, matrix: &Matrix) -> Built {
        let of_inputs = self.inputs.iter().map(|(input, _, cells)| (*input, cells));
        let inputs = named(
            of_inputs,
            |index| {
                self.written
                    .inputs
                    .get_index(index)
                    .map_or("", |(name, _)| name)
            },
            &self.reach.inputs,
            matrix,
        );
        let of_variants = self.variants.iter().map(|v| (v.stage, &v.cells));
        let stages = named(
            of_variants,
            |index| {
                self.written
                    .stages
                    .get_index(index)
                    .map_or("", |(name, _)| name)
            },
            &self.reach.stages,
            matrix,
        );
        let mut order: Vec<usize> = (0..self.variants.len()).collect();
        order.sort_by_key(|&variant| self.variants[variant].stage);
        let resolved = order
            .into_iter()
            .map(|at| {
                let variant = &self.variants[at];
                let alone = &variant.alone;
                let links = variant.links.iter().map(|(port, link)| {
                    let source = match link {
                        Link::Input(input, kind) => Source::External {
                            name: inputs[*input].clone(),
                            kind: (*kind).to_owned(),
                        },
                        Link::Stage(provider, output) => Source::Stage {
                            stage: stages[*provider].clone(),
                            port: output.clone(),
                        },
                    };
                    (port.clone(), source)
                });
                let stage = ResolvedStage {
                    stage: alone.stage,
                    params: alone.params.clone(),
                    ports: alone.ports.clone(),
                    inputs: links.collect(),
                    seed: variant.seed,
                    is_seeded: variant.alone.is_seeded,
                    resources: alone.resources.clone(),
                    patience: alone.patience,
                    splits: alone.splits.clone(),
                };
                (stages[at].clone(), stage)
            })
            .collect();
        let of_cells = self
            .of_cells
            .iter()
            .map(|cell| {
                cell.iter()
                    .filter_map(|&(stage, variant)| {
                        let (plain, _) = self.written.stages.get_index(stage)?;
                        Some((plain.clone(), stages[variant].clone()))
                    })
                    .collect()
            })
            .collect();
        Built {
            inputs: inputs
                .into_iter()
                .zip(self.inputs.into_iter().map(|(_, path, _)| path))
                .collect(),
            stages: resolved,
            of_cells,
        }
    }
}

/// Links to inputs and stages as links to their variants.
fn relink(mut links: Links, inputs: &[usize], variant_of: &[usize]) -> Links {
    for (_, link) in &mut links {
        match link {
            Link::Input(input, _) => *input = inputs[*input],
            Link::Stage(provider, _) => *provider = variant_of[*provider],
        }
    }
    links
}

/// Names variants, which are grouped by what the manifest calls them.
fn named<'v>(
    variants: impl Iterator<Item = (usize, &'v Vec<usize>)>,
    plain: impl Fn(usize) -> &'v str,
    reach: &[Keys],
    matrix: &Matrix,
) -> Vec<String> {
    let mut groups: IndexMap<usize, Vec<(usize, &Vec<usize>)>> = IndexMap::new();
    let mut count = 0;
    for (variant, (of, cells)) in variants.enumerate() {
        groups.entry(of).or_default().push((variant, cells));
        count += 1;
    }
    let mut all = vec![String::new(); count];
    for (of, group) in groups {
        let cells: Vec<Vec<usize>> = group.iter().map(|(_, cells)| (*cells).clone()).collect();
        for ((variant, _), name) in group
            .iter()
            .zip(names(plain(of), &cells, reach[of], matrix))
        {
            all[*variant] = name;
        }
    }
    all
}

/// The stages so that each comes after those it reads, and how many at the end are, or come after, a
/// circle.
fn order(links: &[Links]) -> (Vec<usize>, usize) {
    let mut waits: Vec<usize> = vec![0; links.len()];
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); links.len()];
    for (stage, links) in links.iter().enumerate() {
        for (_, link) in links {
            if let Link::Stage(provider, _) = link {
                waits[stage] += 1;
                readers[*provider].push(stage);
            }
        }
    }
    let mut order: Vec<usize> = (0..links.len())
        .filter(|&stage| waits[stage] == 0)
        .collect();
    let mut next = 0;
    while next < order.len() {
        for &reader in &readers[order[next]] {
            waits[reader] -= 1;
            if waits[reader] == 0 {
                order.push(reader);
            }
        }
        next += 1;
    }
    let circular = links.len() - order.len();
    order.extend((0..links.len()).filter(|&stage| waits[stage] > 0));
    (order, circular)
}
