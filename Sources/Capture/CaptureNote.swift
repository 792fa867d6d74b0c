/// Something in a capture that is not as it should be, or that nothing here reads, and what follows for the figures.
package struct CaptureNote: Codable, Sendable, Hashable {
    package enum Kind: String, Codable, Sendable, Hashable, CaseIterable {
        /// Packets of a link type that has a name, but whose frames are not read here.
        case linkTypeNotRead
        /// Interfaces of a pcapng file whose options run past their block; what is before the damage is used.
        case damagedInterfaceOptions
        /// Interfaces whose clock counts in steps so small that its 64 bits hold no date: their packets have no time.
        case unreadableClock
        /// Interfaces whose clock counts in steps of 10 ms or more: no round trip, no silence and no link is told from it.
        case coarseClock
        /// Packets that name an interface which the file does not describe. They are left out.
        case undescribedInterface
        /// Packets of which not a byte was kept.
        case nothingCaptured
        /// Packets of which so little was kept that their TCP or UDP header is cut.
        case cutHeaders
        /// Packets whose IP or TCP options contradict their length; those before the contradiction are used.
        case damagedOptions
    }

    package var kind: Kind
    /// Interfaces or packets, as the kind says.
    package var count: Int
    package var text: String

    package init(_ kind: Kind, _ count: Int, linkType: String = "") {
        (self.kind, self.count) = (kind, count)
        let packets = count == 1 ? "1 packet" : "\(count) packets"
        let interfaces = count == 1 ? "1 interface" : "\(count) interfaces"
        text =
            switch kind {
            case .linkTypeNotRead: "\(packets) of link type \(linkType), which is not read here: nothing is said of what is in them"
            case .damagedInterfaceOptions: "the options of \(interfaces) run past their block: those before the damage are used"
            case .unreadableClock: "\(interfaces) with a clock whose steps are too small for any date: their packets count as packets without a time"
            case .coarseClock: "\(interfaces) with a clock that counts in steps of 10 ms or more: no round trips, silences or link are told from it"
            case .undescribedInterface: "\(packets) of interfaces that the file does not describe: left out"
            case .nothingCaptured: "\(packets) of which not a byte was kept: only their length counts"
            case .cutHeaders: "\(packets) with a TCP or UDP header cut by the snap length: payload and all that sequence numbers tell are unknown in their flows"
            case .damagedOptions: "\(packets) with damaged IP or TCP options: those before the damage are used"
            }
    }
}
