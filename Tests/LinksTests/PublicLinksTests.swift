import Foundation
// Nothing else of the package: what does not compile here is not public.
import MastLinks
import Testing

/// The library as another package has it.
@Suite struct PublicLinksTests {
    private static let captures = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "captures")
    private static let drive = captures.appending(path: "lte-drive.pcap").path

    @Test func aCaptureTellsItsFlowsAndItsLink() throws {
        let survey = try CaptureReader(path: Self.drive).survey()
        #expect(survey.packets > 1_000 && survey.truncation == nil && survey.duration > .seconds(1))
        let flow = try #require(survey.flows.first)
        #expect(survey.flowCount >= 1 && flow.up.packets + flow.down.packets > 100 && !flow.client.isEmpty && flow.last >= flow.first)
        let link = try #require(survey.link)
        #expect(survey.linkReason == nil && link.outages.allSatisfy { $0.length > .zero && ($0.confidence ?? 1) > 0 && !$0.reason.isEmpty })
        // What is not known says why.
        for side in [link.up, link.down] { #expect(!side.capacityReason.isEmpty && !side.lossReason.isEmpty) }
        #expect(link.outages.allSatisfy { $0.direction != nil || $0.directionReason != nil })
    }

    @Test func aCaptureInMemoryIsTheSame() throws {
        let bytes = try Array(Data(contentsOf: URL(filePath: Self.drive)))
        let (file, memory) = (try CaptureReader(path: Self.drive), try CaptureReader(bytes: bytes))
        #expect(file.startEpochNanoseconds == memory.startEpochNanoseconds)
        var count = 0
        while let packet = file.next() {
            #expect(packet == memory.next())
            count += 1
        }
        #expect(count > 1_000 && memory.next() == nil)
        let survey = try CaptureReader(bytes: bytes).survey()
        #expect(survey.link?.outages == (try CaptureReader(path: Self.drive)).survey().link?.outages)
    }

    @Test func packetsTellWhoSentThemWhenAndWhat() throws {
        let reader = try CaptureReader(path: Self.captures.appending(path: "tcp-loopback.pcap").path, filter: "tcp")
        let first = try #require(reader.next())
        #expect(first.number == 1 && first.time == .zero && first.protocolNumber == 6 && first.flow == 0 && first.direction == .up)
        #expect(first.tcpSequence != nil && first.source != nil && first.wireBytes >= first.ipBytes && first.ipBytes >= 40)
    }

    @Test func whatIsNoCaptureSaysSo() {
        func kind(_ make: () throws(CaptureReader.Failure) -> CaptureReader) -> CaptureReader.Failure.Kind? {
            do throws(CaptureReader.Failure) {
                _ = try make()
                return nil
            } catch { return error.kind }
        }
        #expect(kind { () throws(CaptureReader.Failure) in try CaptureReader(bytes: Array("no capture at all".utf8)) } == .notACapture)
        #expect(kind { () throws(CaptureReader.Failure) in try CaptureReader(bytes: []) } == .notACapture)
        #expect(kind { () throws(CaptureReader.Failure) in try CaptureReader(path: "/nowhere/at.all") } == .cannotOpen)
        #expect(kind { () throws(CaptureReader.Failure) in try CaptureReader(path: Self.drive, filter: "no such word") } == .badFilter)
    }

    @Test func aLinkModelIsLoadedAndRun() throws {
        let text = #"{"name":"a","seed":7,"up":{"rate":"12mbit","delay":"30ms"},"down":{"rate":"12mbit","delay":"30ms","outages":["drop:1s+1s"]}}"#
        var link = try ModelledLink(scenario: Array(text.utf8))
        link.offer(id: 1, bytes: 1_500, .down, at: .zero)
        link.offer(id: 2, bytes: 1_500, .up, at: .milliseconds(5))
        #expect(link.nextEventTime != nil)
        let outcomes = link.advance(to: .seconds(1))
        // 1,500 bytes at 12 Mbit/s take 1 ms.
        #expect(outcomes.map(\.id) == [1, 2] && outcomes.map(\.time) == [.milliseconds(31), .milliseconds(36)])
        #expect(outcomes.allSatisfy { $0.kind == .delivered } && outcomes.map(\.direction) == [.down, .up])
        link.offer(id: 3, bytes: 1_500, .down, at: .milliseconds(1_500))
        #expect(link.advance(to: .seconds(3)).map(\.kind) == [.dropped(reason: "outage")])
        #expect(link.nextEventTime == nil)
        #expect(throws: ModelledLink.Failure.self) { try ModelledLink(scenario: Array("{\"up\":3}".utf8)) }
        #expect(throws: ModelledLink.Failure.self) { try ModelledLink(profile: "no such profile") }
        for name in ModelledLink.profiles { _ = try ModelledLink(profile: name) }
    }

    @Test func theLinkBehindACaptureRuns() throws {
        let measured = try #require(try CaptureReader(path: Self.drive).survey().link)
        var link = measured.model(seed: 3)
        link.offer(id: 9, bytes: 100, .down, at: .zero)
        let outcomes = link.advance(to: .seconds(600))
        #expect(outcomes.last?.id == 9)
        // Written and read again it is the same link.
        var again = try ModelledLink(scenario: try measured.model(seed: 3).scenarioJSON())
        again.offer(id: 9, bytes: 100, .down, at: .zero)
        #expect(again.advance(to: .seconds(600)) == outcomes)
    }
}
