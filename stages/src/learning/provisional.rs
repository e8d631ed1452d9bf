//! Names of metrics.
pub(super) struct Name(&'static str, &'static str);
impl Name {
    pub(super) fn id(&self) -> &'static str { self.0 }
    pub(super) fn column(&self) -> &'static str { self.1 }
}
pub(super) static METRICS: &[Name] = &[Name("balanced_accuracy", "BA"), Name("accuracy", "accuracy"), Name("mcc", "MCC")];
pub(super) fn find(name: &str) -> Option<&'static Name> { METRICS.iter().find(|m| m.0 == name || m.1 == name) }
