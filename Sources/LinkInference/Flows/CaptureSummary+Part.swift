import MastCapture

extension CaptureSummary {
    /// What was asked for, where that was not the whole. Times still count from the capture's first packet.
    package struct Part: Codable, Sendable, Hashable {
        /// In libpcap's language.
        package var filter: String?
        package var fromS: Double?
        package var toS: Double?
        /// Both ends.
        package var flow: String?
        /// By all of these together.
        package var packetsLeftOut: Int
        /// Of these, packets of interfaces for whose link type the filter means nothing.
        package var packetsUnfilterable: Int

        package init(filter: String?, fromS: Double?, toS: Double?, flow: String?, packetsLeftOut: Int, packetsUnfilterable: Int) {
            (self.filter, self.fromS, self.toS, self.flow) = (filter, fromS, toS, flow)
            (self.packetsLeftOut, self.packetsUnfilterable) = (packetsLeftOut, packetsUnfilterable)
        }

        package func encode(to encoder: any Encoder) throws {
            var object = encoder.container(keyedBy: CodingKeys.self)
            try object.encode(filter, forKey: .filter)
            try object.encode(fromS, forKey: .fromS)
            try object.encode(toS, forKey: .toS)
            try object.encode(flow, forKey: .flow)
            try object.encode(packetsLeftOut, forKey: .packetsLeftOut)
            try object.encode(packetsUnfilterable, forKey: .packetsUnfilterable)
        }

        /// - Parameter packets: that were taken.
        package func text(packets: Int) -> String {
            var what: [String] = []
            if let flow { what.append("flow \(flow)") }
            if let filter { what.append("filter '\(filter)'") }
            if let fromS { what.append("from \(TextLayout.fixed(fromS, 3)) s") }
            if let toS { what.append("to \(TextLayout.fixed(toS, 3)) s") }
            var text = "\(what.joined(separator: ", ")): \(packets) packets, \(packetsLeftOut) left out"
            if packetsUnfilterable > 0 { text += " (\(packetsUnfilterable) of interfaces for whose link type the filter means nothing)" }
            return text
        }
    }
}
