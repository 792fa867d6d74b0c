import Foundation
import MastCloudCore

/// A center is made in a folder within its own, and linked out of it when it is complete: so it is known of each file whether it
/// is one that an interrupted making left, and what is somebody's own stays. A membership is linked last: with it the center is
/// complete.
package enum InterruptedInit {
    private static let name = "init-under-way"
    /// Which file the first operator's profile is: device, number and path.
    private static let profileNote = "profile-file"
    private static let order = [NodeKeys.file, CenterKeys.file, CenterBootstrap.database, Membership.file]

    private struct Identity: Hashable {
        var device: UInt64
        var number: UInt64

        /// Of what is at a path, itself and not what it leads to; nil where nothing is.
        init?(_ path: String) {
            var status = stat()
            guard lstat(path, &status) == 0 else { return nil }
            (device, number) = (UInt64(truncatingIfNeeded: status.st_dev), UInt64(truncatingIfNeeded: status.st_ino))
        }
    }

    private static func path(_ directory: NodeDirectory) -> String { directory.path + "/" + name }

    static func isThere(_ directory: NodeDirectory) -> Bool { Identity(path(directory)) != nil }

    /// - Parameter profile: a file that was just made, absolute.
    static func begin(_ directory: NodeDirectory, profile: String?) throws -> DirectoryBlobStore {
        let workshop = try directory.folder(name)
        if let profile, let identity = Identity(profile) {
            try workshop.write(profileNote, Array("\(identity.device) \(identity.number) \(profile)".utf8))
        }
        return workshop
    }

    /// Gives the files of a complete center their places.
    static func finish(_ directory: NodeDirectory) throws {
        for file in order {
            let (from, to) = (path(directory) + "/" + file, directory.path + "/" + file)
            if link(from, to) == 0 { continue }
            // Where there are no links, a kill between two of these leaves a folder that has to be removed by hand.
            guard errno != EEXIST, access(to, F_OK) != 0, rename(from, to) == 0 else { throw StorageError.system("create", to) }
        }
        let folder = open(directory.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        if folder >= 0 {
            fsync(folder)
            close(folder)
        }
        try remove(directory)
    }

    /// Takes away what a process left that was ended while it made a center here; the folder is locked, so it is not at work any
    /// more.
    package static func clear(_ directory: NodeDirectory) throws {
        guard isThere(directory) else { return }
        if try Membership.load(from: directory.files) == nil {
            for file in order {
                let place = directory.path + "/" + file
                if let own = Identity(path(directory) + "/" + file), own == Identity(place) { unlink(place) }
            }
            // The first operator's profile, of a cloud that never was.
            if let note = DirectoryBlobStore(reading: path(directory)).text(profileNote) {
                let parts = note.split(separator: " ", maxSplits: 2)
                if parts.count == 3, let identity = Identity(String(parts[2])), "\(identity.device)" == parts[0], "\(identity.number)" == parts[1] {
                    unlink(String(parts[2]))
                }
            }
        }
        try remove(directory)
    }

    private static func remove(_ directory: NodeDirectory) throws {
        do { try FileManager.default.removeItem(atPath: path(directory)) } catch {
            throw StorageError(.inputOutput, "cannot remove \(path(directory)), which an interrupted mast center init left: \((error as NSError).localizedDescription)")
        }
    }
}

extension DirectoryBlobStore {
    fileprivate func text(_ name: String) -> String? { (try? read(name)).flatMap { $0 }.map { String(decoding: $0, as: UTF8.self) } }
}
