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
    /// As `ConfidenceTests` counts them over 900 links; nil: never said there.
    package var trials: Trials? {
        switch self {
        case .rtpMissing: Trials(right: 126, of: 126)
        case .rtpTogether: Trials(right: 92, of: 92)
        case .rtpWentOn: Trials(right: 359, of: 359)
        case .numbersMissing: Trials(right: 70, of: 70)
        case .segmentsMissing: Trials(right: 1, of: 2)
        case .stampsLate: Trials(right: 58, of: 58)
        case .stampsOfTheEnd: Trials(right: 117, of: 117)
        case .echoesLate: Trials(right: 41, of: 43)
        case .echoesNever: Trials(right: 72, of: 72)
        case .allAcknowledged: Trials(right: 155, of: 155)
        case .acknowledgedWithoutRepair: Trials(right: 26, of: 28)
        case .echoesWaited: Trials(right: 26, of: 26)
        case .repaired: Trials(right: 70, of: 79)
        case .segmentsRefused: Trials(right: 4, of: 4)
        case .answersMissing: Trials(right: 76, of: 76)
        case .answersRepeatedInVain: Trials(right: 20, of: 20)
        case .answersLate: Trials(right: 105, of: 105)
        case .answersTogether: Trials(right: 5, of: 5)
        default: nil
        }
    }
}
