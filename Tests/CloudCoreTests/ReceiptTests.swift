import Crypto
import MastCloudCore
import MastRPC
import MastTimebase
import MastTransport
import Testing

/// Nodes of a cloud that sign receipts.
private struct Nodes {
    let cast = Cast()
    let question = Receipt.Question(
        runID: RunID(rawValue: "r1"), userID: "u1", application: ContentDigest(of: [1]), entry: "run", input: ContentDigest(of: [2]), limits: .standard)
    private let keys: [String: (NodeRecord, SigningKeyPair)]

    init() {
        var generator = SeededGenerator(seed: 8)
        var keys: [String: (NodeRecord, SigningKeyPair)] = [:]
        for name in ["a", "b", "c", "d", "center"] {
            let signing = SigningKeyPair(using: &generator)
            keys[name] = (
                NodeRecord(
                    role: name == "center" ? .center : .station, name: name, transportKey: StaticKeyPair(using: &generator).publicKey,
                    signingKey: signing.publicKey, addresses: [], epoch: 1, issued: cast.now), signing)
        }
        self.keys = keys
    }

    func id(_ name: String) throws -> NodeID { try #require(keys[name]).0.nodeID }

    func receipt(
        _ name: String, _ output: [UInt8] = [3], trap: String? = nil, fuel: UInt64 = 7, run: String = "r1", root: SigningKeyPair? = nil,
        signer: String? = nil
    ) throws -> AttestedReceipt {
        let (record, _) = try #require(keys[name])
        let (_, signing) = try #require(keys[signer ?? name])
        var question = question
        question.runID = RunID(rawValue: run)
        let receipt = Receipt(
            question: question, outcome: trap.map { .trap($0) } ?? .output(MerkleRoot(of: output), bytes: UInt64(output.count)), fuelUsed: fuel,
            nodeID: record.nodeID, executed: cast.now)
        return AttestedReceipt(receipt: try SignedRecord(receipt, signedBy: signing), node: try SignedRecord(record, signedBy: root ?? cast.root))
    }

    /// Who signed what: `a` is asked first and says 1, others say the given.
    func divergence(_ first: (String, UInt8), _ second: (String, UInt8), run: String = "r1") throws -> (Divergence, Divergence.Finding) {
        let divergence = Divergence(try receipt(first.0, [first.1], run: run), try receipt(second.0, [second.1], run: run))
        return (divergence, try divergence.verified(root: cast.root.publicKey))
    }
}

@Suite struct `Receipts` {
    private let nodes = Nodes()

    @Test func `The root is the hash tree that its description says`() {
        func leaf(_ bytes: ArraySlice<UInt8>) -> [UInt8] { Array(SHA256.hash(data: [0] + bytes)) }
        func node(_ left: [UInt8], _ right: [UInt8]) -> [UInt8] { Array(SHA256.hash(data: [1] + left + right)) }
        func root(_ top: [UInt8], _ count: Int) -> [UInt8] {
            Array(SHA256.hash(data: [2] + (0..<8).map { UInt8(truncatingIfNeeded: count >> (56 - 8 * $0)) } + top))
        }
        let size = MerkleRoot.leafBytes
        let bytes = (0..<(5 * size + 1)).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 16) }
        func leaf(_ number: Int, of count: Int) -> [UInt8] { leaf(bytes[(number * size)..<min(count, (number + 1) * size)]) }
        func expected(_ count: Int) -> [UInt8] {
            let leaves = (0..<max(1, (count + size - 1) / size)).map { leaf($0, of: count) }
            let top =
                switch leaves.count {
                case 1: leaves[0]
                case 2: node(leaves[0], leaves[1])
                case 3: node(node(leaves[0], leaves[1]), leaves[2])
                case 5: node(node(node(leaves[0], leaves[1]), node(leaves[2], leaves[3])), leaves[4])
                default: node(node(node(leaves[0], leaves[1]), node(leaves[2], leaves[3])), node(leaves[4], leaves[5]))
                }
            return root(top, count)
        }
        for count in [0, 1, size - 1, size, size + 1, 2 * size, 2 * size + 1, 3 * size, 4 * size + 5, 5 * size, 5 * size + 1] {
            #expect(MerkleRoot(of: Array(bytes[..<count])).bytes == expected(count), "\(count)")
        }
        // An inner node's two hashes are not a leaf of 64 bytes.
        #expect(MerkleRoot(of: leaf(0, of: 2 * size) + leaf(1, of: 2 * size)) != MerkleRoot(of: Array(bytes[..<(2 * size)])))
    }

    @Test func `A receipt is read as it was signed, and by the key of its node's record alone`() throws {
        let root = nodes.cast.root.publicKey
        for receipt in [try nodes.receipt("a"), try nodes.receipt("a", trap: "unreachable")] {
            let proven = try receipt.verified(root: root)
            #expect(proven.node.name == "a" && proven.receipt.fuelUsed == 7 && proven.receipt.question == nodes.question)
            #expect(try AttestedReceipt(fileBytes: receipt.fileBytes) == receipt)
            #expect(try CBOR.decode(AttestedReceipt.self, from: CBOR.encode(receipt)) == receipt)
        }
        var generator = SeededGenerator(seed: 3)
        let stranger = SigningKeyPair(using: &generator)
        let wrong = [
            try nodes.receipt("a", root: stranger), try nodes.receipt("a", signer: "b"),
            AttestedReceipt(receipt: try nodes.receipt("a").receipt, node: try nodes.receipt("b").node),
        ]
        for receipt in wrong { #expect(throws: TrustError.self) { try receipt.verified(root: root) } }
        // Signed by `b`, in the name of `a`.
        let usurped = AttestedReceipt(receipt: try nodes.receipt("a", signer: "b").receipt, node: try nodes.receipt("b").node)
        #expect(throws: TrustError.wrongKey(of: "run receipt")) { try usurped.verified(root: root) }
    }

    @Test func `A changed byte is noticed, and a receipt of one kind of record is none of another`() throws {
        let receipt = try nodes.receipt("a")
        for index in receipt.receipt.payload.bytes.indices {
            var bytes = receipt.receipt.payload.bytes
            bytes[index] ^= 1
            let changed = AttestedReceipt(receipt: SignedRecord(payload: ByteString(bytes), signature: receipt.receipt.signature), node: receipt.node)
            #expect(throws: TrustError.wrongSignature(of: "run receipt")) { try changed.verified(root: nodes.cast.root.publicKey) }
        }
        let foreign = SignedRecord<Ticket>(payload: receipt.receipt.payload, signature: receipt.receipt.signature)
        let key = try receipt.node.unverified().signingKey
        #expect(throws: TrustError.wrongSignature(of: "ticket")) { try foreign.verified(by: key) }
    }

    @Test func `Answers to the same question differ in output, trap or fuel`() throws {
        func compare(_ a: AttestedReceipt, _ b: AttestedReceipt) throws -> Receipt.Comparison {
            try a.receipt.unverified().compared(with: b.receipt.unverified())
        }
        let first = try nodes.receipt("a")
        #expect(try compare(first, nodes.receipt("b")) == .agrees)
        #expect(try compare(first, nodes.receipt("b", [4])) == .differs(["output"]))
        #expect(try compare(first, nodes.receipt("b", [3, 0])) == .differs(["output"]))
        #expect(try compare(first, nodes.receipt("b", fuel: 8)) == .differs(["fuel"]))
        #expect(try compare(first, nodes.receipt("b", trap: "unreachable")) == .differs(["output", "trap"]))
        #expect(try compare(nodes.receipt("a", trap: "outOfFuel"), nodes.receipt("b", trap: "unreachable", fuel: 8)) == .differs(["trap", "fuel"]))
        #expect(try compare(nodes.receipt("a", trap: "outOfFuel"), nodes.receipt("b", trap: "outOfFuel")) == .agrees)
        for kind in ["outOfMemory", "stackOverflow", "interrupted", "overloaded", "other", "made up"] {
            guard case .incomparable = try compare(first, nodes.receipt("b", trap: kind)) else { return #expect(Bool(false), "\(kind)") }
        }
        guard case .incomparable = try compare(first, nodes.receipt("b", [4], run: "r2")),
            case .incomparable = try compare(first, nodes.receipt("a", [4]))
        else { return #expect(Bool(false), "another question, or the same node") }
    }

    @Test func `A receipt is the answer to what was asked, of whom it was asked, or it says what differs`() throws {
        let receipt = try nodes.receipt("a").verified(root: nodes.cast.root.publicKey).receipt
        let id = try nodes.id("a")
        try receipt.check(nodes.question, from: id)
        let other = ContentDigest(of: [9])
        let changes: [(field: String, change: (inout Receipt.Question) -> Void)] = [
            ("run id", { $0.runID = RunID(rawValue: "r2") }), ("user", { $0.userID = "u2" }), ("application", { $0.application = other }),
            ("entry", { $0.entry = "walk" }), ("input", { $0.input = other }), ("limits", { $0.limits.fuel = 1 }),
        ]
        for (field, change) in changes {
            var asked = nodes.question
            change(&asked)
            #expect(throws: TrustError.contradicted(of: "run receipt", field: field)) { try receipt.check(asked, from: id) }
        }
        #expect(throws: TrustError.contradicted(of: "run receipt", field: "node")) { try receipt.check(nodes.question, from: nodes.id("b")) }
    }

    @Test func `Output and trap are the receipt's own, to the last byte`() throws {
        let root = nodes.cast.root.publicKey
        let answered = try nodes.receipt("a", [3, 4]).verified(root: root).receipt
        let trapped = try nodes.receipt("a", trap: "unreachable").verified(root: root).receipt
        try answered.check(output: [3, 4])
        try trapped.check(trap: RunTrap(kind: "unreachable", message: "in the engine's words"))
        let noOutput = TrustError.contradicted(of: "run receipt", field: "output")
        for wrong in [[3], [3, 5], [3, 4, 0], []] as [[UInt8]] { #expect(throws: noOutput) { try answered.check(output: wrong) } }
        #expect(throws: noOutput) { try trapped.check(output: []) }
        let noTrap = TrustError.contradicted(of: "run receipt", field: "trap")
        #expect(throws: noTrap) { try trapped.check(trap: RunTrap(kind: "outOfFuel", message: "")) }
        #expect(throws: noTrap) { try answered.check(trap: RunTrap(kind: "unreachable", message: "")) }
        // The root alone does not do: the size is stated beside it.
        var lying = answered
        lying.outcome = .output(MerkleRoot(of: [3, 4]), bytes: 3)
        #expect(throws: noOutput) { try lying.check(output: [3, 4]) }
        let exhausted = try nodes.receipt("a", trap: "outOfMemory").verified(root: root).receipt
        #expect(trapped.isDeterministic && answered.isDeterministic && !exhausted.isDeterministic)
    }

    @Test func `A file of a receipt ends with it, and larger ones than any are not looked at`() throws {
        let receipt = try nodes.receipt("a")
        #expect(throws: TrustError.malformed("record: bytes follow its end")) { try AttestedReceipt(fileBytes: receipt.fileBytes + [0]) }
        for (isReceipt, count, isTooLarge) in [(true, 2_048, false), (true, 2_049, true), (false, 2_048, false), (false, 2_049, true)] {
            var large = receipt
            let zeros = ByteString([UInt8](repeating: 0, count: count))
            if isReceipt { large.receipt.payload = zeros } else { large.node.payload = zeros }
            do {
                _ = try large.verified(root: nodes.cast.root.publicKey)
                Issue.record("zeros are no receipt")
            } catch { #expect((error == .malformed("run receipt: too large")) == isTooLarge) }
        }
    }

    // MARK: Who leaves placement

    @Test func `A report shows something only if two nodes of the cloud signed different answers`() throws {
        let root = nodes.cast.root.publicKey
        var generator = SeededGenerator(seed: 3)
        let stranger = SigningKeyPair(using: &generator)
        let nothing = [
            Divergence(try nodes.receipt("a"), try nodes.receipt("b")), Divergence(try nodes.receipt("a"), try nodes.receipt("a", [4])),
            Divergence(try nodes.receipt("a"), try nodes.receipt("b", [4], run: "r2")),
            Divergence(try nodes.receipt("a"), try nodes.receipt("b", [4], root: stranger)),
            Divergence(try nodes.receipt("a"), try nodes.receipt("b", [4], signer: "c")),
            Divergence(try nodes.receipt("a"), try nodes.receipt("b", trap: "outOfMemory")),
        ]
        for divergence in nothing { #expect(throws: TrustError.self) { try divergence.verified(root: root) } }
        #expect(try Divergence(nodes.receipt("a"), nodes.receipt("b", [4])).verified(root: root).fields == ["output"])
    }

    private func ledger(_ reports: [((String, UInt8), (String, UInt8), String)]) throws -> DivergenceLedger {
        var ledger = DivergenceLedger()
        for (first, second, run) in reports {
            let (divergence, finding) = try nodes.divergence(first, second, run: run)
            _ = ledger.add(divergence, finding, at: nodes.cast.now)
        }
        return ledger
    }

    @Test func `One witness is not enough, however often it says so`() throws {
        let ledger = try ledger((1...20).map { (("a", 1), ("b", 2), "r\($0)") })
        #expect(ledger.untrustworthy == [])
        #expect(try ledger.witnesses(against: nodes.id("a")) == [nodes.id("b")])
        #expect(ledger.entries.count == DivergenceLedger.mostOfOnePair)
    }

    @Test func `Stations alone put nobody out, alike as they may be`() throws {
        #expect(try ledger([(("a", 1), ("b", 2), "r1"), (("a", 1), ("c", 2), "r2"), (("a", 1), ("d", 2), "r3")]).untrustworthy == [])
        // `b` and `c` lie alike about `a`; the center, when it is back, sides with `a`.
        let late = try ledger([(("a", 1), ("b", 2), "r1"), (("a", 1), ("c", 2), "r2"), (("b", 2), ("center", 1), "r3"), (("c", 2), ("center", 1), "r4")])
        #expect(try late.untrustworthy == [nodes.id("b"), nodes.id("c")].sorted())
    }

    @Test func `Two different witnesses are, one of them the center`() throws {
        #expect(try ledger([(("a", 1), ("b", 2), "r1"), (("center", 2), ("a", 1), "r1")]).untrustworthy == [nodes.id("a")])
        #expect(try ledger([(("a", 1), ("center", 2), "r1"), (("a", 1), ("center", 2), "r2")]).untrustworthy == [])
    }

    @Test func `The center decides which of two stations lied, and who lied is no witness`() throws {
        // `b` lies as a witness about `a`, and about `c`; the center sides with `a`.
        let ledger = try ledger([(("a", 2), ("b", 1), "r1"), (("b", 1), ("center", 2), "r1"), (("c", 2), ("b", 1), "r2"), (("d", 9), ("c", 2), "r3")])
        #expect(try ledger.untrustworthy == [nodes.id("b")])
        #expect(try ledger.witnesses(against: nodes.id("a")) == [])
        #expect(try ledger.witnesses(against: nodes.id("c")) == [nodes.id("d")])
    }

    @Test func `The center itself never leaves`() throws {
        let ledger = try ledger([(("center", 1), ("a", 2), "r1"), (("center", 1), ("b", 2), "r1"), (("center", 1), ("c", 2), "r1")])
        #expect(ledger.untrustworthy == [])
    }

    @Test func `What an operator cleared counts no longer, and what comes after it does`() throws {
        var ledger = try ledger([(("a", 1), ("b", 2), "r1"), (("a", 1), ("center", 2), "r1")])
        #expect(ledger.clear(try nodes.id("a")).count == 2)
        #expect(ledger.untrustworthy == [] && ledger.entries.count == 2)
        for (witness, run) in [("c", "r3"), ("center", "r4")] {
            let (divergence, finding) = try nodes.divergence(("a", 1), (witness, 2), run: run)
            #expect(ledger.add(divergence, finding, at: nodes.cast.now) != nil)
        }
        #expect(ledger.untrustworthy == [try nodes.id("a")])
    }

    @Test func `A report that is known adds nothing`() throws {
        var ledger = try ledger([(("a", 1), ("b", 2), "r1")])
        let (divergence, finding) = try nodes.divergence(("b", 2), ("a", 1), run: "r1")
        #expect(ledger.add(divergence, finding, at: nodes.cast.now) == nil && ledger.entries.count == 1)
    }

    @Test func `Who is out of placement travels in the root's list, in order and once`() throws {
        let ids = [try nodes.id("b"), try nodes.id("a"), try nodes.id("b")]
        let log = RevocationLog(number: 3, serials: [1], nodes: [try nodes.id("c")], suspended: ids)
        #expect(log.suspended == Array(Set(ids)).sorted())
        let signed = try SignedRecord(log, signedBy: nodes.cast.root)
        #expect(try signed.verified(by: nodes.cast.root.publicKey) == log)
        #expect(try log.isSuspended(nodes.id("a")) && !log.contains(nodes.id("a")) && log.keepsFromRuns(nodes.id("a")))
        #expect(try log.keepsFromRuns(nodes.id("c")) && !log.isSuspended(nodes.id("c")) && !log.keepsFromRuns(nodes.id("d")))
    }

    @Test func `What was cleared leaves room for what comes after, pair by pair`() throws {
        var ledger = try ledger((1...8).map { (("a", 1), ("b", 2), "r\($0)") })
        func add(_ run: String, isCleared: Bool = false) throws -> Bool {
            let (divergence, finding) = try nodes.divergence(("a", 1), ("b", 2), run: run)
            return ledger.add(divergence, finding, at: nodes.cast.now, isCleared: isCleared) != nil
        }
        #expect(try !add("r9"))
        // As many cleared ones are kept for reading.
        for number in 11...18 { #expect(try add("r\(number)", isCleared: true)) }
        #expect(try !add("r19", isCleared: true))
        #expect(try ledger.clear(nodes.id("c")).isEmpty && ledger.clear(nodes.id("b")).count == 8)
        #expect(try add("r9") && ledger.witnesses(against: nodes.id("a")) == [nodes.id("b")])
    }

    @Test func `A full ledger lets go of the oldest that was cleared, else of the oldest`() throws {
        // What is looked at is who and which run: the same two receipts serve for all.
        let (divergence, finding) = try nodes.divergence(("a", 1), ("b", 2))
        var ledger = DivergenceLedger()
        func entry(_ number: Int) -> Divergence.Finding {
            var other = finding
            other.first.receipt.question.runID = RunID(rawValue: "\(number)")
            // Eight of a pair are taken, so that many pairs are needed.
            var keys = other.first.node.transportKey.bytes
            (keys[0], keys[1]) = (UInt8((number / 8) % 256), UInt8(number / 2_048))
            if let key = PublicKey(bytes: keys) { other.first.node.transportKey = key }
            return other
        }
        for number in 0..<1_024 { #expect(ledger.add(divergence, entry(number), at: nodes.cast.now, isCleared: number == 5)?.dropped == []) }
        let runs = { (entries: [DivergenceLedger.Entry]?) in entries?.map(\.finding.first.receipt.question.runID.rawValue) }
        #expect(runs(ledger.add(divergence, entry(1_024), at: nodes.cast.now)?.dropped) == ["5"])
        #expect(runs(ledger.add(divergence, entry(1_025), at: nodes.cast.now)?.dropped) == ["0"] && ledger.entries.count == 1_024)
    }

    @Test func `An operator reads of a contradiction who said what`() throws {
        let (divergence, finding) = try nodes.divergence(("a", 1), ("b", 2))
        var ledger = DivergenceLedger()
        let entry = try #require(ledger.add(divergence, finding, at: nodes.cast.now)?.added)
        let told = CenterStatus.Contradiction(entry)
        #expect(told.names == ["a", "b"] && told.fields == ["output"] && told.runID.rawValue == "r1" && told.userID == "u1" && !told.isCleared)
        #expect(try told.nodes == [nodes.id("a"), nodes.id("b")] && told.application == ContentDigest(of: [1]))
        #expect(told.statements == ([1, 2] as [UInt8]).map { "1 bytes of root \(MerkleRoot(of: [$0])), fuel 7" } && told.reportedMilliseconds == nodes.cast.now.milliseconds)
    }
}
