import MastCapture
import MastTimebase

/// A flow that somebody chose, found by reading the capture once: where it stands in the tables of whoever reads it again.
package struct ChosenFlow: Sendable {
    /// Among the flows of the part.
    package var inPart: Int
    /// Among those of the whole capture.
    package var inWhole: Int
    package var state: FlowState

    /// Reads the rest of a file.
    /// - Parameter times: the part; flows are numbered by what they carry in it.
    package init(_ choice: FlowChoice, in file: CaptureFile, within times: ClosedRange<Instant>?) throws(NoSuchFlow) {
        var whole = FlowTable()
        var part = FlowTable()
        var places: [Int] = []
        while let packet = file.next() {
            let seen = whole.observe(packet)
            guard let times, times.contains(packet.time), let own = part.observe(packet), let seen else { continue }
            if own.flow == places.count { places.append(seen.flow) }
        }
        guard times != nil else {
            inWhole = try choice.find(in: whole)
            (inPart, state) = (inWhole, whole.flows[inWhole])
            return
        }
        inPart = try choice.find(in: part)
        // Every flow of the part has a packet that the whole knows, but for one beyond the whole's limit.
        guard places.indices.contains(inPart) else { throw NoSuchFlow(name: part.flows[inPart].client.description, count: part.flows.count) }
        inWhole = places[inPart]
        state = part.flows[inPart]
    }
}
