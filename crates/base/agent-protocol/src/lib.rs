//! Messages between the control plane and a container agent.
