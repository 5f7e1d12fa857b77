//! Why a datagram did not arrive.

model::drop_reasons! {
    /// Why a datagram did not arrive.
    pub enum DropReason {
        /// The test has cut this way.
        Cut => "cut",
        /// The NAT does not let in whom this mapping has not sent to.
        Filtered => "filtered",
        /// The link lost it.
        Lost => "lost",
        /// No host has the address, or it has none of the sender's family.
        NoHost => "no-host",
        /// The NAT has no mapping at this port, or no port for another mapping.
        NoMapping => "no-mapping",
        /// As much as may wait for the link did so already.
        QueueFull => "queue-full",
        /// The packet is larger than the link's MTU.
        TooLarge => "too-large",
    }
}
