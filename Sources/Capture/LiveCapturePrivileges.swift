#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Who the process goes on as, once what needs root is open.
package struct LiveCapturePrivileges: Sendable, Hashable {
    package var name: String
    package var user: uid_t
    package var group: gid_t

    /// Whoever called sudo; `nobody` where root itself did; nil where there is nothing to give up.
    package static func lesser(sudoUser: String?, sudoGroup: String?) -> LiveCapturePrivileges? {
        guard geteuid() == 0 else { return nil }
        if let user = sudoUser.flatMap(uid_t.init), let group = sudoGroup.flatMap(gid_t.init), user != 0 {
            let name = getpwuid(user).flatMap { $0.pointee.pw_name }.map { String(cString: $0) }
            return LiveCapturePrivileges(name: name ?? "user \(user)", user: user, group: group)
        }
        return named("nobody")
    }

    package static func named(_ name: String) -> LiveCapturePrivileges? {
        guard let entry = getpwnam(name)?.pointee else { return nil }
        return LiveCapturePrivileges(name: name, user: entry.pw_uid, group: entry.pw_gid)
    }

    /// For good, and for all threads: groups first, for afterwards there is no right to change them.
    /// - Returns: what went wrong, or nil.
    package func take() -> String? {
        var groups = [group]
        guard setgroups(1, &groups) == 0, setgid(group) == 0, setuid(user) == 0 else {
            return String(cString: strerror(errno))
        }
        // Whoever can come back has not left.
        return user != 0 && setuid(0) == 0 ? "root can be taken back" : nil
    }
}
