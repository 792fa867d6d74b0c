/// What an outage, or a pause of a sender, was told by. Each way has been tried on modelled links, whose truth is known: the share
/// of right answers there is the confidence that is stated.
package enum OutageEvidence: String, Sendable, Hashable, CaseIterable {
    // Datagrams.
    case rtpMissing, rtpTogether, rtpStampsLate, rtpWentOn
    case numbersMissing, numbersWentOn
    case bulkResumed, burstFollowed, fullQueueFollowed
    // TCP, at its receiver.
    case segmentsMissing, stampsLate, stampsOfTheEnd
    case echoesLate, echoesNever
    case messageEnded, moreAskedFor
    // TCP, at its sender.
    case allAcknowledged, acknowledgedWithoutRepair, echoesWaited, repaired, segmentsRefused
    case answersMissing, answersRepeatedInVain, answersLate, answersTogether
    // QUIC, at its sender.
    case quicFullPace, quicSlowPace
    // Both ends.
    case lostBetweenEnds, lateBetweenEnds

    /// Answers on modelled links.
    package struct Trials: Sendable, Hashable {
        package var right: Int
        package var of: Int
        package init(right: Int, of: Int) { (self.right, self.of) = (right, of) }
    }

    /// Of fewer a share tells little.
    package static let fewestTrials = 20

    /// 0...1, in hundredths; nil where it was said too seldom to tell.
    package var confidence: Double? {
        guard let trials, trials.of >= Self.fewestTrials else { return nil }
        return (Double(trials.right) / Double(trials.of) * 100).rounded() / 100
    }
}

extension OutageEvidence {
    /// Filled from the measurement (see the module's documentation).
    package var trials: Trials? { nil }
}
