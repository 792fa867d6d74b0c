import Foundation
import GRDB
import MastCloudCore
import MastCloudServer
import MastTimebase
import MastTransport
import Synchronization
import Testing

/// A center in one file, and a center of one file.
@Suite struct CenterBackupTests {
    private let folder = TemporaryFolder()
    private let module = Array("a module".utf8)

    private func path(_ name: String) -> String { folder.path + "/" + name }

    /// A cloud with an operator, a user, a release and a removed user, in a folder of that name.
    @discardableResult
    private func makeCenter(_ name: String, seed: UInt64 = 4) throws -> CenterRegistry {
        var generator = SeededGenerator(seed: seed)
        let server = NodeKeys(using: &generator)
        let directory = try NodeDirectory(path: path(name))
        try CenterBootstrap.initialize(
            directory, communicationServer: .loopback(port: 1), communicationServerKey: server.identity.publicKey, at: noon, using: &generator)
        var registry = try CenterBootstrap.open(directory)
        for user in ["ada", "bob"] { _ = try registry.addUser(AddUser(name: user), at: noon, using: &generator) }
        try registry.removeUser("bob")
        _ = try registry.release(push("app", module), module: module, at: noon)
        return registry
    }

    private func mode(_ name: String) -> Int? { (try? FileManager.default.attributesOfItem(atPath: path(name))[.posixPermissions]) as? Int }
    private func left(_ name: String) -> [String] { (try? FileManager.default.contentsOfDirectory(atPath: path(name)).sorted()) ?? [] }

    private func kind(_ body: () throws -> Void) -> StorageError.Kind? {
        do { try body(); return nil } catch { return (error as? StorageError)?.kind }
    }

    @Test func `a backup of a center that is in use restores as the same center, in a later epoch`() throws {
        let registry = try makeCenter("center")
        // The folder stays locked, as by a center that runs.
        let running = try NodeDirectory(path: path("center"))
        let written = try CenterBackup.write(folder: path("center"), to: path("b"), replacing: false)
        withExtendedLifetime(running) {}
        #expect(written.users == 2 && written.revokedUsers == 1 && written.applications == 1 && written.moduleBytes == module.count)
        #expect(written.numbers == registry.numbers && written.epoch == 1 && mode("b") == 0o600)
        #expect(try CenterBackup.verify(path("b")) == written)

        let restored = try CenterBackup.restore(path("b"), into: try NodeDirectory(path: path("new")), replacing: false, at: noon)
        #expect(restored.users == written.users && restored.rootKey == written.rootKey && restored.epoch == UInt64(noon.milliseconds / 1_000))
        let opened = try CenterBootstrap.open(try NodeDirectory(path: path("new")))
        #expect(opened.numbers == restored.numbers && registry.numbers.isBehind(opened.numbers))
        #expect(try opened.module(ContentDigest(of: module)) == module)
        #expect(opened.keys.node.identity.publicKey == registry.keys.node.identity.publicKey)
        // Neither overwrites without being told to.
        #expect(kind { _ = try CenterBackup.write(folder: path("center"), to: path("b"), replacing: false) } == .exists)
        #expect(kind { _ = try CenterBackup.restore(path("b"), into: try NodeDirectory(path: path("new")), replacing: false, at: noon) } == .exists)
        _ = try CenterBackup.write(folder: path("center"), to: path("b"), replacing: true)
        #expect(left("").filter { $0.hasPrefix("b") } == ["b"])
    }

    @Test func `restoring over a newer center keeps what that one revoked`() throws {
        var registry = try makeCenter("center")
        _ = try CenterBackup.write(folder: path("center"), to: path("b"), replacing: false)
        try registry.removeUser("ada")
        let directory = try NodeDirectory(path: path("center"))
        let restored = try CenterBackup.restore(path("b"), into: directory, replacing: true, at: noon)
        #expect(restored.revokedUsers == 2 && restored.users == 1)
        #expect(try CenterBootstrap.open(directory).status.users.filter(\.isRevoked).map(\.name).sorted() == ["ada", "bob"])
        // Adopting is the same for a database that was put there.
        let adopted = try CenterBackup.adopt(directory, at: noon)
        #expect(adopted.epoch == restored.epoch + 1)
    }

    @Test func `a backup while the center writes is one moment of it`() async throws {
        let registry = Mutex(try makeCenter("center"))
        var generator = SeededGenerator(seed: 9)
        // Some pages, so that there are many steps between which users come.
        for number in 0..<8 {
            let module = [UInt8](repeating: UInt8(number), count: 300_000)
            try registry.withLock { _ = try $0.release(push("large-\(number)", module), module: module, at: noon) }
        }
        var added = 0
        let written = try CenterBackup.write(folder: path("center"), to: path("b"), replacing: false) { done, total in
            guard done < total, added < 3 else { return }
            added += 1
            registry.withLock { registry in
                #expect(throws: Never.self) { _ = try registry.addUser(AddUser(name: "while-\(added)"), at: noon, using: &generator) }
            }
        }
        // The backup began anew each time, and holds all that came before it ended.
        #expect(added == 3 && written.users == 5 && written.applications == 9)
        #expect(written.numbers == registry.withLock { $0.numbers })
    }

    @Test func `one bit anywhere in a backup that changes what it holds is refused, and none is a trap`() throws {
        try makeCenter("center")
        let written = try CenterBackup.write(folder: path("center"), to: path("b"), replacing: false)
        let good = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path("b"))))
        var generator = SeededGenerator(seed: 5)
        let used = good.indices.filter { good[$0] != 0 }
        var refused = 0
        for _ in 0..<150 {
            var flipped = good
            let place = try #require(used.randomElement(using: &generator))
            flipped[place] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
            try Data(flipped).write(to: URL(fileURLWithPath: path("flip")))
            // Some bits of SQLite's own pages mean nothing.
            do { #expect(try CenterBackup.verify(path("flip")) == written, "byte \(place)") } catch { refused += 1 }
        }
        #expect(refused > 100)
        // The names in the schema, which SQLite compares without regard to case.
        for text in ["folder", "seal", "station", "table", "CREATE"] {
            for place in good.indices.dropLast(text.utf8.count) where good[place...].starts(with: text.utf8) {
                var flipped = good
                flipped[place] ^= 0x20
                try Data(flipped).write(to: URL(fileURLWithPath: path("flip")))
                #expect(throws: (any Error).self, "\(text) at \(place)") { try CenterBackup.verify(path("flip")) }
            }
        }
        // What somebody added to it.
        for statement in [
            "CREATE TRIGGER late AFTER INSERT ON token BEGIN DELETE FROM token; END", "CREATE VIEW seen AS SELECT * FROM user", "CREATE INDEX more ON user (name)",
            "CREATE TABLE another (a)", "UPDATE station SET address = address || 'x'; INSERT INTO token VALUES ('t', x'00', 1, NULL)",
        ] {
            try Data(good).write(to: URL(fileURLWithPath: path("added")))
            let queue = try DatabaseQueue(path: path("added"))
            try queue.write { try $0.execute(sql: statement) }
            try queue.close()
            #expect(kind { _ = try CenterBackup.verify(path("added")) } == .corrupt, "\(statement)")
        }
    }

    @Test func `a backup that was altered, cut or is something else is refused, and makes nothing`() throws {
        try makeCenter("center")
        _ = try CenterBackup.write(folder: path("center"), to: path("b"), replacing: false)
        let good = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path("b"))))
        func refused(_ name: String, _ bytes: [UInt8]) throws -> StorageError.Kind? {
            try Data(bytes).write(to: URL(fileURLWithPath: path(name)))
            return kind { _ = try CenterBackup.verify(path(name)) }
        }
        #expect(try refused("cut", Array(good.prefix(good.count / 2))) == .corrupt)
        #expect(try refused("text", Array("not a database at all, just text".utf8)) == .corrupt)
        #expect(try refused("empty", []) == .corrupt)
        // One bit of the module: SQLite does not see it, its digest does.
        let place = try #require(good.indices.first { good[$0...].starts(with: module) })
        var flipped = good
        flipped[place] ^= 1
        #expect(throws: (any Error).self) { try Data(flipped).write(to: URL(fileURLWithPath: path("flip"))); _ = try CenterBackup.verify(path("flip")) }
        #expect(kind { _ = try CenterBackup.verify(path("nowhere")) } == .missing)
        #expect(kind { _ = try CenterBackup.restore(path("cut"), into: try NodeDirectory(path: path("new")), replacing: false, at: noon) } == .corrupt)
        #expect(left("new") == [".lock"])
        // A database of a center that is no backup.
        #expect(kind { _ = try CenterBackup.verify(path("center/center.sqlite")) } == .corrupt)
        #expect(kind { _ = try CenterBackup.write(folder: path("new"), to: path("c"), replacing: false) } == .missing)
    }

    @Test func `keys and database that do not belong together do not start, and say what to do`() throws {
        try makeCenter("center")
        try makeCenter("other", seed: 5)
        let database = path("center/center.sqlite")
        func refusal() -> StorageError? {
            do {
                _ = try CenterBootstrap.open(try NodeDirectory(path: path("center")))
                return nil
            } catch { return error as? StorageError }
        }
        #expect(refusal() == nil)
        let own = try Data(contentsOf: URL(fileURLWithPath: database))
        // Missing.
        try FileManager.default.removeItem(atPath: database)
        #expect(refusal()?.kind == .corrupt && refusal()?.message.contains("mast center restore") == true)
        #expect(!FileManager.default.fileExists(atPath: database), "nothing makes an empty center")
        // Empty, foreign, another cloud's.
        for (bytes, words) in [
            (Data(), "is empty"), (Data("SQLite it is not, and long enough to have a header, one would think".utf8), "cannot be opened"),
            (try Data(contentsOf: URL(fileURLWithPath: path("other/center.sqlite"))), "another cloud"),
        ] {
            try bytes.write(to: URL(fileURLWithPath: database))
            #expect(refusal()?.kind == .corrupt && refusal()?.message.contains(words) == true && refusal()?.message.contains("restore") == true, "\(words)")
        }
        // The reverse: a database without keys.
        try own.write(to: URL(fileURLWithPath: database))
        #expect(refusal() == nil)
        try FileManager.default.removeItem(atPath: path("center/root-key"))
        #expect(refusal()?.kind == .corrupt && refusal()?.message.contains("without its keys") == true)
        // A second center in one folder.
        let held = try NodeDirectory(path: path("other"))
        #expect(kind { _ = try NodeDirectory(path: path("other")) } == .inUse)
        withExtendedLifetime(held) {}
    }

    @Test func `a cloud whose operator's profile cannot be handed over was never made`() throws {
        struct Full: Error {}
        var generator = SeededGenerator(seed: 4)
        let server = NodeKeys(using: &generator)
        let directory = try NodeDirectory(path: path("center"))
        #expect(throws: Full.self) {
            try CenterBootstrap.initialize(
                directory, communicationServer: .loopback(port: 1), communicationServerKey: server.identity.publicKey, at: noon, using: &generator
            ) { _ in throw Full() }
        }
        #expect(left("center") == [".lock"])
        // A part of a center is none to be overwritten either.
        try Data([1]).write(to: URL(fileURLWithPath: path("center/root-key")))
        #expect(
            kind {
                try CenterBootstrap.initialize(
                    directory, communicationServer: .loopback(port: 1), communicationServerKey: server.identity.publicKey, at: noon, using: &generator)
            } == .exists)
        #expect(left("center") == [".lock", "root-key"])
    }
}
