//! Containers' places on the bridge, with their published ports.

use std::fs;
use std::io;
use std::net::Ipv4Addr;

use crate::ContainerId;

use super::bridge::{io_error, mac};
use super::firewall::Publication;
use super::leftovers::remove_namespace;
use super::linux::Inner;
use super::{Attachment, NetworkError, PortBinding, PortMapping};

impl Inner {
    pub(super) fn attach(
        &self,
        container: &ContainerId,
        wanted: &[PortMapping],
    ) -> Result<Attachment, NetworkError> {
        let (ready, ports) = {
            let mut state = self.state.lock();
            if let Some(attachment) = state.attachments.get(container) {
                return Ok(attachment.clone());
            }
            let ports = state.ports.take(wanted)?;
            (state.ready.pop_front(), ports)
        };
        let release = |error| {
            let mut state = self.state.lock();
            for (mapping, port) in wanted.iter().zip(&ports) {
                state.ports.release(mapping.protocol, *port);
            }
            error
        };
        let address = match ready {
            Some(address) => address,
            None => self.make_namespace().map_err(release)?,
        };
        let bindings = wanted.iter().zip(&ports).map(|(mapping, port)| PortBinding {
            bind_ip: Ipv4Addr::UNSPECIFIED,
            container_port: mapping.container_port,
            host_port: *port,
            protocol: mapping.protocol,
        });
        let attachment = Attachment {
            container: container.clone(),
            namespace: self.namespace(address),
            address,
            prefix: self.bridge.subnet.prefix(),
            gateway: self.bridge.subnet.gateway(),
            mac: mac(address),
            bindings: bindings.collect(),
        };
        if let Err(error) = self.publish(&attachment) {
            self.take_down(&attachment);
            return Err(release(error));
        }
        self.state.lock().attachments.insert(container.clone(), attachment.clone());
        Ok(attachment)
    }

    /// The record first: what a crash leaves between the two, the next process publishes.
    pub(super) fn publish(&self, attachment: &Attachment) -> Result<(), NetworkError> {
        let record = self.record(attachment.address);
        let temporary = record.with_extension("new");
        serde_json::to_vec(attachment)
            .map_err(io::Error::from)
            .and_then(|text| fs::write(&temporary, text))
            .and_then(|()| fs::rename(&temporary, &record))
            .map_err(io_error(format!("cannot write {}", record.display())))?;
        let published: Vec<_> = publications(attachment).collect();
        let outcome = self.firewall.lock().publish(&published);
        outcome.map_err(|source| {
            let ports: Vec<_> = published.iter().map(|p| p.host_port.to_string()).collect();
            NetworkError::Io { what: format!("cannot publish ports {}", ports.join(", ")), source }
        })
    }

    pub(super) fn detach(&self, container: &ContainerId) -> Result<(), NetworkError> {
        let Some(attachment) = self.state.lock().attachments.get(container).cloned() else {
            return Ok(());
        };
        let published: Vec<_> = publications(&attachment).collect();
        if let Err(error) = self.firewall.lock().withdraw(&published)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(io_error("cannot withdraw published ports")(error));
        }
        self.take_down(&attachment);
        let mut state = self.state.lock();
        for binding in &attachment.bindings {
            state.ports.release(binding.protocol, binding.host_port);
        }
        state.attachments.remove(container);
        Ok(())
    }

    /// Removes a namespace, what is in it, its record, and frees its address.
    pub(super) fn take_down(&self, attachment: &Attachment) {
        let address = attachment.address;
        if remove_namespace(&self.route.lock(), &attachment.namespace, address) {
            let _ = fs::remove_file(self.record(address));
            self.state.lock().taken.remove(&address);
        }
    }
}

/// What the firewall is to pass on for an attachment.
pub(super) fn publications(attachment: &Attachment) -> impl Iterator<Item = Publication> {
    let address = attachment.address;
    attachment.bindings.iter().map(move |binding| Publication {
        protocol: binding.protocol,
        host_port: binding.host_port,
        address,
        port: binding.container_port,
    })
}
