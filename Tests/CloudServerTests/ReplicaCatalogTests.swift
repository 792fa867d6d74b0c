import Foundation
import MastCloudCore
import MastCloudServer
import Testing

@Suite struct ReplicaCatalogTests {
    private let module = Array("a module".utf8)
    private var digest: ContentDigest { ContentDigest(of: module) }

    @Test func `replicas are there after a restart`() throws {
        let folder = TemporaryFolder()
        let store = try DirectoryBlobStore(path: folder.path)
        var catalog = try ReplicaCatalog(store: store, capacityBytes: 1000, log: quiet)
        #expect(try catalog.insert(digest, module, wanted: []))
        var again = try ReplicaCatalog(store: store, capacityBytes: 1000, log: quiet)
        #expect(again.digests == [digest])
        #expect(try again.read(digest) == module)
    }

    @Test func `a flipped bit on the disk is found at the start, and before a run`() throws {
        let folder = TemporaryFolder()
        let store = try DirectoryBlobStore(path: folder.path)
        var catalog = try ReplicaCatalog(store: store, capacityBytes: 1000, log: quiet)
        #expect(try catalog.insert(digest, module, wanted: []))
        var damaged = module
        damaged[3] ^= 4
        try Data(damaged).write(to: URL(fileURLWithPath: folder.path + "/" + digest.description))
        // While it runs:
        #expect(try catalog.read(digest) == nil)
        #expect(!catalog.contains(digest))
        #expect(try store.names().isEmpty)
        // At the start, also of a file cut short and of one that is no replica:
        try store.write(digest.description, Array(module.dropLast()))
        try store.write("stray", [1])
        #expect(try ReplicaCatalog(store: store, capacityBytes: 1000, log: quiet).digests.isEmpty)
        #expect(try store.names().isEmpty)
    }

    @Test func `what was not used for longest goes first, and nothing that is wanted`() throws {
        var catalog = try ReplicaCatalog(store: MemoryBlobStore(), capacityBytes: 30, log: quiet)
        let blobs = (UInt8(0)..<5).map { [UInt8](repeating: $0, count: 10) }
        let digests = blobs.map { ContentDigest(of: $0) }
        for index in 0..<3 { #expect(try catalog.insert(digests[index], blobs[index], wanted: [])) }
        _ = try catalog.read(digests[0])
        #expect(try catalog.insert(digests[3], blobs[3], wanted: [digests[2]]))
        #expect(catalog.digests == [digests[0], digests[2], digests[3]].sorted())
        #expect(try catalog.insert(digests[4], blobs[4], wanted: catalog.digests) == false)
        #expect(try catalog.insert(ContentDigest(of: module + module + module + module), module + module + module + module, wanted: []) == false)
        #expect(catalog.totalBytes == 30)
    }
}
