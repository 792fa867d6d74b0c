import CaptureKit
import MastCapture
import MastLinkInference
import MastLinkModel
import MastTimebase
import Testing

/// Outages under a TCP download, told from either end by what is missing, what comes again and what was heard.
@Suite struct TCPOutageTests {
    private func fit(up: [Outage] = [], down: [Outage] = [], loss: LossModel = .none, at end: RecordedWorld.End) throws -> LinkFit {
        func profile(_ outages: [Outage], _ loss: LossModel) -> LinkProfile {
            LinkProfile(service: .constant(.megabitsPerSecond(10)), delay: .milliseconds(25), radioLoss: loss, outages: outages)
        }
        let scenario = LinkScenario(up: profile(up, .none), down: profile(down, loss), seed: 3)
        return try LinkFit(RecordedWorld.repairedDownload(scenario, until: .zero + .seconds(12), recordedAt: end).timeline)
    }

    private func drop(_ from: Double, for length: Double) -> [Outage] {
        [Outage(start: .milliseconds(Int64(from * 1_000)), duration: .milliseconds(Int64(length * 1_000)), mode: .drop)]
    }

    /// Each edge within 50 ms, or within what it says of itself.
    private func expect(
        _ fit: LinkFit, _ direction: FlowDirection, from start: Double, to end: Double, at: RecordedWorld.End, _ location: SourceLocation = #_sourceLocation
    ) {
        let found = fit.outages.filter { $0.kind == .drop && $0.direction == direction }
        #expect(found.count == 1, "\(at): \(fit.outages)", sourceLocation: location)
        guard let outage = found.first else { return }
        // Windows begin with the first packet, which a server sees half a round trip later.
        let shift = fit.window.start.sinceStart.inSeconds
        let offBy = (start: outage.start.inSeconds + shift - start, end: (outage.start + outage.length).inSeconds + shift - end)
        #expect(abs(offBy.start) <= max(0.05, outage.startUncertainty.inSeconds), "\(at): \(outage)", sourceLocation: location)
        #expect(abs(offBy.end) <= max(0.05, outage.endUncertainty.inSeconds), "\(at): \(outage)", sourceLocation: location)
    }

    private static let ends: [RecordedWorld.End] = [.client, .server]

    @Test(arguments: ends) func aDropTooShortForATimerIsToldByItsLosses(_ end: RecordedWorld.End) throws {
        let fit = try fit(up: drop(5, for: 0.18), down: drop(5, for: 0.18), at: end)
        expect(fit, .down, from: 5, to: 5.18, at: end)
        #expect(fit.down.loss == 0, "what was lost in an outage is no loss outside")
    }

    @Test(arguments: ends) func aDropOfOneWayOnlyIsNotSaidOfTheOther(_ end: RecordedWorld.End) throws {
        let fit = try fit(down: drop(5, for: 1), at: end)
        expect(fit, .down, from: 5, to: 6, at: end)
        #expect(fit.outages.filter { $0.kind != .senderIdle && $0.direction == .up }.isEmpty, "\(fit.outages)")
        #expect(fit.down.loss == 0)
    }

    @Test(arguments: ends) func bothWaysAreSaidWhereBothWereOut(_ end: RecordedWorld.End) throws {
        let fit = try fit(up: drop(5, for: 1.2), down: drop(5, for: 1.2), at: end)
        expect(fit, .down, from: 5, to: 6.2, at: end)
        expect(fit, .up, from: 5, to: 6.2, at: end)
    }

    @Test(arguments: ends) func lostAcknowledgementsAreTheirOwnWaysOutage(_ end: RecordedWorld.End) throws {
        let fit = try fit(up: drop(5, for: 1.2), at: end)
        expect(fit, .up, from: 5, to: 6.2, at: end)
        #expect(fit.outages.filter { $0.kind != .senderIdle && $0.direction == .down }.isEmpty, "\(fit.outages)")
        #expect(fit.down.loss == 0)
    }

    @Test(arguments: ends) func lossesBeforeAndAfterAnOutageStillCount(_ end: RecordedWorld.End) throws {
        let fit = try fit(down: drop(5, for: 0.4), loss: .independent(Probability(0.01)), at: end)
        expect(fit, .down, from: 5, to: 5.4, at: end)
        // Behind the link, repairs that come late may hide losses: then nothing is stated.
        #expect(end == .client && !fit.down.isLossKnown || abs(fit.down.loss - 0.01) <= 0.003, "\(fit.down.lossBasis)")
    }

    @Test(arguments: ends) func lossesAloneAreNoOutage(_ end: RecordedWorld.End) throws {
        let fit = try fit(loss: .independent(Probability(0.02)), at: end)
        #expect(fit.outages.filter { $0.kind != .senderIdle }.isEmpty, "\(fit.outages)")
    }
}
