import Foundation

/// The three descriptors that every program expects to be open.
enum StandardDescriptors {
    /// Opens /dev/null for each that whoever started us has closed: the next file or socket would otherwise get its number,
    /// and be written to by whatever prints. Only for reading: what is written there fails, and is told as any output that is lost.
    static func open() {
        for descriptor: Int32 in 0...2 where fcntl(descriptor, F_GETFD) == -1 && errno == EBADF {
            // The lowest free number is this one, as those below it are open.
            guard Foundation.open("/dev/null", O_RDONLY) == descriptor else { return }
        }
    }
}
