//! The scenario language: what a file says, and how it is read.

mod model;

pub use model::{
    Action, Expect, Expectation, Latency, Loc, Moment, Network, NodeId, NodeSpec, Rule, RuleKind,
    Scenario, Shape, Source, Step, Subjects,
};
