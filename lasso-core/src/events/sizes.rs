//! How much the tables of live events hold, for those that check their bounds.

/// How much the tables of a node's live events hold; of many tables alike, the fullest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LiveSizes {
    /// Profiles with a stream.
    pub profiles: usize,
    /// Scopes of one profile.
    pub scopes: usize,
    /// Viewers of one profile.
    pub viewers: usize,
    /// Ids that one feed remembers.
    pub ids: usize,
    /// Series of which one feed has a window.
    pub series: usize,
    /// Events that wait for one viewer.
    pub waiting: usize,
}

impl LiveSizes {
    /// The larger ones of both.
    pub(super) fn max(self, other: LiveSizes) -> LiveSizes {
        LiveSizes {
            profiles: self.profiles.max(other.profiles),
            scopes: self.scopes.max(other.scopes),
            viewers: self.viewers.max(other.viewers),
            ids: self.ids.max(other.ids),
            series: self.series.max(other.series),
            waiting: self.waiting.max(other.waiting),
        }
    }
}
