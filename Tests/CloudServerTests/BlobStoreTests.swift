import Foundation
import MastCloudServer
import MastTimebase
import Testing

@Suite struct BlobStoreTests {
    @Test func `what was written is there after reopening, readable by its owner only`() throws {
        let folder = TemporaryFolder()
        let store = try DirectoryBlobStore(path: folder.path + "/inner/blobs")
        try store.write("a", [1, 2, 3])
        try store.write("a", [4])
        try store.write("b", [])
        let again = try DirectoryBlobStore(path: store.path)
        #expect(try again.read("a") == [4])
        #expect(try again.read("b") == [])
        #expect(try again.read("c") == nil)
        #expect(try again.names() == ["a", "b"])
        let mode = try FileManager.default.attributesOfItem(atPath: store.path + "/a")[.posixPermissions] as? Int
        #expect(mode == 0o600)
        try again.remove("a")
        try again.remove("a")
        #expect(try store.names() == ["b"])
    }

    @Test func `what an interrupted write left is cleared away and never read`() throws {
        let folder = TemporaryFolder()
        try Data([9]).write(to: URL(fileURLWithPath: folder.path + "/.new-a"))
        let store = try DirectoryBlobStore(path: folder.path)
        #expect(try store.names().isEmpty)
        #expect(try store.read("a") == nil)
        #expect(!FileManager.default.fileExists(atPath: folder.path + "/.new-a"))
    }

    @Test func `names that lead elsewhere are refused`() throws {
        let store = try DirectoryBlobStore(path: TemporaryFolder().path)
        for name in ["", "../a", "a/b", ".lock", "a\0b"] {
            #expect(throws: StorageError.self) { try store.write(name, [1]) }
            #expect(throws: StorageError.self) { try store.read(name) }
        }
    }

    @Test func `two processes never hold one folder`() throws {
        let folder = TemporaryFolder()
        do {
            let first = try NodeDirectory(path: folder.path)
            let error = #expect(throws: StorageError.self) { try NodeDirectory(path: folder.path) }
            #expect(error?.kind == .inUse)
            try first.files.write("a", [1])
        }
        #expect(try NodeDirectory(path: folder.path).files.read("a") == [1])
    }

    @Test func `keys are made once, and damage to them is an error rather than new keys`() throws {
        let store = MemoryBlobStore()
        var generator = SeededGenerator(seed: 2)
        let keys = try NodeKeys.loadOrCreate(in: store, using: &generator)
        let again = try NodeKeys.loadOrCreate(in: store, using: &generator)
        #expect(again.identity.publicKey == keys.identity.publicKey)
        #expect(again.signing.publicKey == keys.signing.publicKey && again.routeSecret == keys.routeSecret)
        #expect(keys.routeSecret.count == 32)
        var bytes = try #require(store.read("keys"))
        bytes.removeLast()
        store.write("keys", bytes)
        let error = #expect(throws: StorageError.self) { try NodeKeys.load(from: store) }
        #expect(error?.kind == .corrupt)
    }
}
