import ArgumentParser
import Foundation
import MastCalls
import MastCloudCore
import MastCloudServer
import MastDatagrams

struct CenterBackupCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "backup", abstract: "Copy a center into one file, while it runs or not.",
        discussion: """
            The file holds everything, the root key included: whoever has it is the cloud. It is readable by its owner only, \
            and is read again from end to end before it takes its name. mast center restore makes a center of it.
            """)

    @Argument(help: ArgumentHelp("The new file; in a folder, a file named by the time.", valueName: "file"))
    var file: String

    @OptionGroup var folder: FolderOptions

    @Flag(help: "Replace a file of that name.")
    var force = false

    @OptionGroup var output: OutputOptions

    func run() async throws {
        var isFolder: ObjCBool = false
        let isThere = FileManager.default.fileExists(atPath: file, isDirectory: &isFolder)
        let path = isThere && isFolder.boolValue ? "\(file)/center-\(SystemClock().wallTime().milliseconds / 1_000).backup" : file
        let contents = try CenterBackup.write(folder: folder.dir, to: path, replacing: force) { done, total in
            Output.progress("\(path): \(done) of \(total) pages")
        }
        Output.endProgress()
        let report = CenterContents(contents, file: path)
        if output.json { try Output.json(report) } else { report.show("backup") }
    }
}

struct CenterRestoreCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "restore", abstract: "Make a center of a backup, in a new epoch.",
        discussion: """
            The center must not run. Stations, communication server and clients follow the new epoch, whatever they had heard \
            from the center before. Revocations that they hold and the backup lacks come back with their first report; \
            releases and users that it lacks are named in the center's log and in mast status.
            """)

    @Argument(help: ArgumentHelp("A file that mast center backup wrote.", valueName: "file"))
    var file: String

    @OptionGroup var folder: FolderOptions

    @Flag(help: "Replace the center that is in the folder. What it had revoked stays revoked.")
    var force = false

    @OptionGroup var output: OutputOptions

    func run() async throws {
        // A backup that is no good makes no folder.
        _ = try CenterBackup.verify(file)
        let directory = try folder.open()
        let report = CenterContents(
            try CenterBackup.restore(file, into: directory, replacing: force, at: SystemClock().wallTime()), file: folder.dir)
        if output.json {
            try Output.json(report)
        } else {
            report.show("center")
            Output.line("next: mast center --dir \(folder.dir)")
        }
    }
}

struct CenterAdoptCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "adopt", abstract: "Go on with the database that is there, in a new epoch.",
        discussion: """
            For a center whose database was put back by other means than mast center restore: it refuses changes, since others \
            hold newer state. The center must not run.
            """)

    @OptionGroup var folder: FolderOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let directory = try FolderOptions.center(folder.dir)
        let report = CenterContents(try CenterBackup.adopt(directory, at: SystemClock().wallTime()), file: folder.dir)
        if output.json { try Output.json(report) } else { report.show("center") }
    }
}

/// What a center's file or folder holds.
private struct CenterContents: Encodable {
    var path, rootKey: String
    var epoch, releaseNumber, revocationNumber: UInt64
    var users, revokedUsers, stations, revokedStations, applications, moduleBytes: Int

    init(_ contents: CenterBackup.Contents, file: String) {
        path = file
        rootKey = contents.rootKey.description
        epoch = contents.epoch
        (releaseNumber, revocationNumber) = (contents.numbers.releases.count, contents.numbers.revocations.count)
        (users, revokedUsers) = (contents.users, contents.revokedUsers)
        (stations, revokedStations) = (contents.stations, contents.revokedStations)
        (applications, moduleBytes) = (contents.applications, contents.moduleBytes)
    }

    func show(_ what: String) {
        Output.line("\(what) \(path), epoch \(epoch), root key \(rootKey)")
        Output.line("  \(users) users and \(revokedUsers) revoked, \(stations) stations and \(revokedStations) removed")
        Output.line("  \(applications) releases with \(moduleBytes) bytes; release number \(releaseNumber), revocation number \(revocationNumber)")
        Output.line("  checked: every record's signature, every module's SHA-256")
    }
}
