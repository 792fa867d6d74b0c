import MastCapture
import Testing

@Suite struct TextLayoutTests {
    @Test func aFigureHasItsDecimals() {
        let rows: [(value: Double, digits: Int, text: String)] = [
            (0, 0, "0"), (0, 2, "0.00"), (1.005, 1, "1.0"), (1.25, 1, "1.3"), (-1.25, 1, "-1.3"), (-0.04, 1, "0.0"), (-0.06, 1, "-0.1"), (9.96, 1, "10.0"),
            (1.5, 0, "2"), (-7, 0, "-7"), (12.034, 3, "12.034"), (5, -1, "5"), (1e14, 0, "100000000000000"), (1e15, 0, "1000000000000000.0"), (-1e17, 2, "-1e+17"),
            (.infinity, 1, "-"), (.nan, 1, "-"),
        ]
        for row in rows { #expect(TextLayout.fixed(row.value, row.digits) == row.text) }
    }

    @Test func sizesAndRatesHaveThreeFiguresInPowersOfThousand() {
        let sizes = [
            (0, "0 B"), (999, "999 B"), (1_000, "1.00 kB"), (9_994, "9.99 kB"), (9_995, "10.0 kB"), (99_949, "99.9 kB"), (99_950, "100 kB"), (999_499, "999 kB"),
            (999_500, "1.00 MB"), (12_345, "12.3 kB"), (5_000_000_000, "5.00 GB"), (7_000_000_000_000, "7.00 TB"), (7_000_000_000_000_000, "7000 TB"),
        ]
        for (count, text) in sizes { #expect(TextLayout.bytes(count) == text) }
        for (rate, text) in [(0.0, "0 bit/s"), (1_500, "1.50 kbit/s"), (2e6, "2.00 Mbit/s"), (3e9, "3.00 Gbit/s"), (4e12, "4000 Gbit/s")] {
            #expect(TextLayout.bitRate(rate) == text)
        }
    }

    @Test func aSpanIsInTheUnitThatAReaderWouldChoose() {
        let rows = [
            (0.5, "0.500 s"), (119.999, "119.999 s"), (120, "2.0 min"), (7_199, "120.0 min"), (7_200, "2.0 h"), (172_799, "48.0 h"), (172_800, "2.0 days"),
            (63_071_999, "730.0 days"), (63_072_000, "2.0 years"), (63_115_200, "2.0 years"), (315_576_000, "10.0 years"),
        ]
        for (seconds, text) in rows { #expect(TextLayout.duration(seconds) == text) }
    }

    /// Around leap days, century years, the epoch and before it.
    @Test func aDateIsThatOfTheCalendar() {
        let rows = [
            (0.0, "1970-01-01 00:00:00.000 UTC"), (1_764_076_890.85, "2025-11-25 13:21:30.850 UTC"), (951_782_400, "2000-02-29 00:00:00.000 UTC"),
            (951_868_800, "2000-03-01 00:00:00.000 UTC"), (4_107_542_400, "2100-03-01 00:00:00.000 UTC"), (4_107_542_399, "2100-02-28 23:59:59.000 UTC"),
            (1_709_251_199.999, "2024-02-29 23:59:59.999 UTC"), (1_735_689_599, "2024-12-31 23:59:59.000 UTC"), (1_735_689_600, "2025-01-01 00:00:00.000 UTC"),
            (1_727_740_800, "2024-10-01 00:00:00.000 UTC"), (1_725_148_800, "2024-09-01 00:00:00.000 UTC"), (-0.001, "1969-12-31 23:59:59.999 UTC"),
            (-86_400, "1969-12-31 00:00:00.000 UTC"), (-2_203_891_200, "1900-03-01 00:00:00.000 UTC"), (-62_135_596_800, "1-01-01 00:00:00.000 UTC"),
            (-62_167_219_200, "0-01-01 00:00:00.000 UTC"), (-62_162_208_000, "0-02-28 00:00:00.000 UTC"), (.nan, "-"), (1e12, "-"), (-1e12, "-"),
        ]
        for (seconds, text) in rows { #expect(TextLayout.date(unixSeconds: seconds) == text) }
        #expect(TextLayout.clock(unixSeconds: 1_764_076_890.85) == "13:21:30.850" && TextLayout.clock(unixSeconds: .nan) == "-")
    }

    @Test func aSparklineIsTheMeanOfEachColumnsShare() {
        #expect(TextLayout.sparkline([], columns: 5) == "")
        #expect(TextLayout.sparkline([0, 1, 2, 3, 4, 5, 6, 7, 8], columns: 9) == " ▁▂▃▄▅▆▇█")
        #expect(TextLayout.sparkline([8, 0, 4, 4], columns: 2) == "██" && TextLayout.sparkline([8, 0, 4, 4, 0, 0], columns: 3) == "██ ")
        #expect(TextLayout.sparkline([4, 4, 8], columns: 2) == "▆█")
        #expect(TextLayout.sparkline([1, 2], columns: 10) == "▄█" && TextLayout.sparkline([3, 1], columns: 0) == "█")
        #expect(TextLayout.sparkline([1, 4], columns: 2, top: 8) == "▁▄" && TextLayout.sparkline([99], columns: 1, top: 8) == "█")
        #expect(TextLayout.sparkline([0, -1], columns: 2) == "  " && TextLayout.sparkline([1], columns: 1, top: 0) == " ")
    }

    @Test func aTablesColumnsAreAlignedAndItsLinesEndWithoutBlanks() {
        let rows = [["name", "n", "note"], ["a", "1", ""], ["longer", "1000"]]
        #expect(TextLayout.table(rows, left: [0, 2]) == ["name       n  note", "a          1", "longer  1000"])
        #expect(TextLayout.table([["n"], ["10"]], left: []) == [" n", "10"] && TextLayout.table([], left: []) == [])
    }
}
