import MastCloudCore
import MastCloudServer
import MastTimebase
import Testing

/// What a node holds of revocations when its center comes back from an older copy.
@Suite struct RevocationShelfTests {
    private let root: SigningKeyPair
    private let store = MemoryBlobStore()

    init() {
        var generator = SeededGenerator(seed: 6)
        root = SigningKeyPair(using: &generator)
    }

    private func list(_ epoch: UInt64, _ count: UInt64, _ serials: UInt64...) throws -> SignedRecord<RevocationLog> {
        try SignedRecord(RevocationLog(number: StateNumber(epoch: epoch, count: count), serials: serials), signedBy: root)
    }

    private func shelf() -> RevocationShelf { RevocationShelf(root: root.publicKey, store: store, logger: quiet) }

    @Test func `what an older list named stays refused, also after a restart, until the newest names it`() throws {
        var kept = shelf()
        let old = try list(1, 3, 7, 8)
        let before = kept.take(old, at: .zero)
        // The restored center knows of 9 only, in a later epoch with a lower count.
        let restored = try list(2, 1, 9)
        let after = kept.take(restored, at: .zero)
        #expect(before && after && kept.signed == restored && kept.lost == [old])
        for shelf in [kept, shelf()] {
            #expect(shelf.log.number == StateNumber(epoch: 2, count: 1) && shelf.log.serials == [7, 8, 9] && shelf.lost == [old] && shelf.signed == restored)
        }
        var restarted = shelf()
        // The same again is no news; the center's union ends it.
        let again = restarted.take(old, at: .zero)
        let union = restarted.take(try list(2, 2, 7, 8, 9), at: .zero)
        #expect(!again && union && restarted.lost.isEmpty && restarted.log.serials == [7, 8, 9])
        #expect(shelf().lost.isEmpty && store.names() == ["revocations"])
    }

    @Test func `an older list that another node brings counts beside the newest, once`() throws {
        var server = shelf()
        let newest = try list(2, 5, 9)
        _ = server.take(newest, at: .zero)
        let covered = server.take(try list(1, 4, 9), at: .zero)
        let more = server.take(try list(1, 6, 4, 9), at: .zero)
        let less = server.take(try list(1, 5, 4), at: .zero)
        #expect(!covered && more && !less)
        #expect(server.signed == newest && server.log.serials == [4, 9] && server.lost.count == 1)
        var stranger = SeededGenerator(seed: 60)
        let forged = try SignedRecord(RevocationLog(number: StateNumber(epoch: 9, count: 9), serials: [1]), signedBy: SigningKeyPair(using: &stranger))
        let believed = server.take(forged, at: .zero)
        #expect(!believed && server.log.serials == [4, 9])
    }

    @Test func `as many lost lists are kept as one registration shows`() throws {
        var shelf = shelf()
        for epoch in 1...20 as ClosedRange<UInt64> { _ = shelf.take(try list(epoch, 1, epoch), at: .zero) }
        #expect(shelf.lost.count == 8 && shelf.log.contains(20 as UInt64) && shelf.log.contains(12 as UInt64))
        #expect(shelf.log.number.epoch == 20)
    }
}
