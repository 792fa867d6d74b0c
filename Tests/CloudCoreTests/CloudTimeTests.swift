import MastCloudCore
import MastTimebase
import Testing

@Suite struct CloudTimeTests {
    private let noon = WallTime(milliseconds: 1_800_000_000_000)
    private let hour = Interval.seconds(3600)

    @Test func `one clock among several shifts the middle by nothing, whatever it says`() {
        for lie in [hour, -hour, .seconds(86_400 * 365 * 56), Interval(nanoseconds: .min), .max] {
            #expect(ClockMedian.of([.zero, .milliseconds(3), lie]).map { $0.magnitude <= .milliseconds(3) } == true)
            #expect(ClockMedian.of([lie, .zero, .milliseconds(-2), .milliseconds(4)]).map { $0.magnitude <= .milliseconds(2) } == true)
        }
        // It is the reader's own that lies.
        #expect(ClockMedian.of([.zero, hour, hour]) == hour)
    }

    @Test func `of two clocks nobody says which is wrong`() {
        #expect(ClockMedian.of([.zero, hour]) == nil && ClockMedian.of([.zero]) == nil && ClockMedian.of([]) == nil)
    }

    @Test func `a clock that is off says so, and is set right for what it writes`() {
        let late = CloudTime(own: noon + (.zero - hour), offset: .zero - hour)
        #expect(late.isOff && late.best == noon && late.readings.count == 2)
        #expect(late.complaint == "this clock is 3600 s behind the cloud's: set it")
        #expect(CloudTime(own: noon, offset: hour).complaint?.contains("ahead of") == true)
        #expect(CloudTime.isOff(.milliseconds(30_001)) && CloudTime.isOff(.milliseconds(-30_001)) && !CloudTime.isOff(nil))
        for fine in [CloudTime(own: noon), CloudTime(own: noon, offset: .seconds(30)), CloudTime(own: noon, offset: .seconds(-30))] {
            #expect(!fine.isOff && fine.best == noon && fine.readings == [noon] && fine.complaint == nil)
        }
    }

    @Test func `a ticket is good by the own clock or by the others', and one of both is enough`() throws {
        let cast = Cast()
        let ticket = try cast.ticket().unverified()
        // The own clock is right, and somebody says that it is not.
        #expect(try ticket.remaining(at: CloudTime(own: cast.now, offset: hour)) == Ticket.lifetime)
        // The own clock is wrong, and the others say so.
        for offset in [hour, .zero - hour, .seconds(-1_800_000_000)] {
            #expect(try ticket.remaining(at: CloudTime(own: cast.now + offset, offset: offset)) == Ticket.lifetime)
        }
        #expect(throws: TrustError.expired(of: "ticket", at: ticket.notAfter)) {
            try ticket.remaining(at: CloudTime(own: cast.now + hour + hour, offset: hour))
        }
        // What is good by both lives no longer than a ticket does.
        #expect(try ticket.remaining(at: CloudTime(own: cast.now + .seconds(-40), offset: .seconds(-31))) == Ticket.lifetime)
        #expect(try ticket.remaining(at: CloudTime(own: cast.now + .seconds(600))) == .seconds(300))
    }
}
