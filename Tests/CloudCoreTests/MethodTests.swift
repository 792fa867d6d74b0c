import MastCloudCore
import MastRPC
import MastTimebase
import Testing

@Suite struct MethodTests {
    @Test func `every right belongs to one method, and an unknown method has none`() {
        let rows =
            ControlMethods.rights + StationMethods.rights + RunMethods.rights + CenterMethods.rights + AdminMethods.rights
        #expect(Set(rows.map(\.path)).count == rows.count)
        #expect(MethodRight.needed(for: "mast.v1.Admin/pushApplication") == .operator)
        #expect(MethodRight.needed(for: "mast.v1.Station/verifyIdentity") == .communicationServer)
        #expect(MethodRight.needed(for: "mast.v1.Admin/unheardOf") == nil)
        for row in AdminMethods.rights { #expect(row.right == .operator) }
    }

    @Test func `a refusal travels in an error and comes out of it`() {
        for refusal in [
            RunRefusal.noReplica, .unknownApplication, .overloaded, .stopping, .ticketNeeded, .notGranted, .badRequest, .runIDInUse, .engineFailure, .unloadable,
        ] {
            let error = refusal.error("why", retryAfter: .milliseconds(5))
            #expect(RunRefusal(error) == refusal)
            #expect(error.effect == .none && error.retryAfter == .milliseconds(5))
        }
        #expect(RunRefusal(RPCError(.unavailable, "elsewhere")) == nil)
        // What is longer than any refusal is not read.
        let name = "refusal stopping"
        for (count, isRead) in [(name.utf8.count, true), (256, true), (257, false)] {
            let detail = ByteString(Array((name + String(repeating: " ", count: count - name.utf8.count)).utf8))
            #expect((RunRefusal(RPCError(.unavailable, "", detail: detail)) == .stopping) == isRead, "\(count) bytes")
        }
        for text in ["", "refusal", "refusal nothing", "Refusal stopping", "stopping"] {
            #expect(RunRefusal(RPCError(.unavailable, "", detail: ByteString(Array(text.utf8)))) == nil)
        }
    }

    @Test func `a refusal has the status that says whether another node may be asked`() {
        let codes: [(RunRefusal, StatusCode)] = [
            (.noReplica, .unavailable), (.unknownApplication, .notFound), (.overloaded, .resourceExhausted), (.stopping, .unavailable), (.ticketNeeded, .unauthenticated),
            (.notGranted, .permissionDenied), (.badRequest, .invalidArgument), (.runIDInUse, .alreadyExists), (.engineFailure, .internal), (.unloadable, .failedPrecondition),
        ]
        for (refusal, code) in codes { #expect(refusal.error("").code == code) }
    }

    /// Peers of other versions rely on them.
    @Test func `what one message may carry stays so`() {
        #expect(UploadChunk.maximumBytes == 262_144 && ReplicaChunk.maximumBytes == 65_536 && MerkleRoot.leafBytes == 65_536)
        #expect(CenterStatus.mostContradictions == 64 && ReplicaTrouble.mostReported == 16 && ReleaseIndex.versionsKept == 3)
        #expect(Quota() == Quota(concurrentRuns: 64, fuelPerRun: 100_000_000_000))
        #expect(CommunicationServers.most == 8 && maximumRecordBytes == 2_097_152 && Ticket.clockTolerance == .seconds(60) && RevocationLog.mostSerials == 65_536 && RevocationLog.mostNodes == 16_384)
    }

    @Test func `numbers of state only rise when joined`() {
        let a = StateNumbers(releases: 3, users: 1, revocations: 4)
        let b = StateNumbers(releases: 2, users: 5, revocations: 2)
        #expect(a.joined(b) == StateNumbers(releases: 3, users: 5, revocations: 4))
        #expect(a.isBehind(b) && b.isBehind(a) && !a.joined(b).isBehind(a))
    }

    @Test func `limits of a request can only lower those of the application`() {
        let own = ApplicationLimits(fuel: 10, memoryBytes: 10, outputBytes: 10)
        let asked = ApplicationLimits(fuel: 5, memoryBytes: 50, outputBytes: 10)
        #expect(own.capped(by: asked) == ApplicationLimits(fuel: 5, memoryBytes: 10, outputBytes: 10))
        let tight = ApplicationLimits(fuel: 20, memoryBytes: 2, outputBytes: 3)
        #expect(own.capped(by: tight) == ApplicationLimits(fuel: 10, memoryBytes: 2, outputBytes: 3) && tight.capped(by: own) == own.capped(by: tight))
    }

    @Test func `messages survive the wire form`() throws {
        let cast = Cast()
        var generator = SeededGenerator(seed: 5)
        let request = RunRequest(
            application: "word-count", digest: ContentDigest(of: [1]), input: ByteString([1, 2, 3]), runID: RunID(using: &generator),
            ticket: try cast.ticket(), limits: .standard)
        #expect(try CBOR.decode(RunRequest.self, from: CBOR.encode(request)) == request)
        let signed = try SignedRecord(cast.stationRecord, signedBy: cast.root)
        let candidate = Candidate(
            nodeID: cast.stationRecord.nodeID, name: "station-a", role: .station, record: signed, route: 9, holdsReplica: true)
        let event = NodeEvent(.stationReturned, nodeID: candidate.nodeID, route: 9, candidate: candidate)
        #expect(try CBOR.decode(NodeEvent.self, from: CBOR.encode(event)) == event)
        #expect(try CBOR.decode(ContentDigest.self, from: CBOR.encode("")) == ContentDigest.none)
    }
}
