import Foundation
import MastCloudClient
import MastCloudCore
import MastTimebase

/// A folder that goes away with the test.
struct TemporaryFolder: ~Copyable {
    let path: String

    init() {
        let base = FileManager.default.temporaryDirectory.path
        path = "\(base)/mast-client-tests-\(UUID().uuidString)"
        try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func files(under name: String) -> [String] {
        guard let walk = FileManager.default.enumerator(atPath: "\(path)/\(name)") else { return [] }
        return walk.compactMap { $0 as? String }.filter { walkPath in
            var isFolder: ObjCBool = false
            return FileManager.default.fileExists(atPath: "\(path)/\(name)/\(walkPath)", isDirectory: &isFolder) && !isFolder.boolValue
        }
    }
}

extension RunID: ExpressibleByStringLiteral {
    public init(stringLiteral value: String) { self.init(rawValue: value) }
}

func submission(_ runID: RunID, _ bytes: [UInt8], input: String = "input", servedBy: String = "station-a") -> PoolSubmission {
    PoolSubmission(
        runID: runID, application: "grep", servedBy: servedBy,
        provenance: Provenance(applicationDigest: nil, entry: "run", inputDigest: ContentDigest(of: Array(input.utf8))),
        bytes: bytes)
}

let noon = WallTime(milliseconds: 1_700_000_000_000)
