import ArgumentParser
import Foundation
import MastCloudServer

/// Where a role keeps what survives a restart.
struct FolderOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The role's own folder.", valueName: "folder"))
    var dir: String

    /// Opens the folder, and makes it if need be.
    func open() throws -> NodeDirectory { try NodeDirectory(path: dir) }

    /// Opens a folder that must be there: a wrong path leaves nothing behind.
    static func existing(_ path: String, hint: String) throws -> NodeDirectory {
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), isFolder.boolValue else {
            throw Failure(.noInput, "there is no folder \(path); \(hint)")
        }
        return try NodeDirectory(path: path)
    }

    /// A center's folder.
    static func center(_ path: String) throws -> NodeDirectory {
        try existing(path, hint: "make a center there with mast center init")
    }
}
