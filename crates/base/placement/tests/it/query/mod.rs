//! The query language on expressions good and bad, against several instances.

mod errors;
mod properties;
mod table;

use placement::query::Subject;
use terms::Timestamp;

/// An instance of the tests.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    pub attributes: Vec<(String, Option<String>)>,
    pub connected: bool,
    pub version: Option<String>,
    pub ec2: Option<String>,
    pub registered: i64,
    pub running: u32,
    pub groups: Vec<String>,
}

impl Subject for Facts {
    fn attribute(&self, name: &str) -> Option<Option<&str>> {
        let found = self.attributes.iter().find(|(has, _)| has == name);
        found.map(|(_, value)| value.as_deref())
    }

    fn agent_connected(&self) -> bool {
        self.connected
    }

    fn agent_version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    fn ec2_instance_id(&self) -> Option<&str> {
        self.ec2.as_deref()
    }

    fn registered_at(&self) -> Timestamp {
        Timestamp::from_millis(self.registered * 1000 + 750)
    }

    fn running_tasks(&self) -> u32 {
        self.running
    }

    fn any_group(&self, accepts: &mut dyn FnMut(&str) -> bool) -> bool {
        self.groups.iter().any(|group| accepts(group))
    }
}
