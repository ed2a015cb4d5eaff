//! The plot: how long INIT, the first request and a warm one take, each function beside the others.

use anyhow::{Context as _, Result, anyhow};
use plotters::{
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use crate::{
    function::{EMPTY, EMPTY_LEAN, OURS, PUT_OBJECT_LEAN},
    measure::Measured,
    report::Report,
};

const SIZE: (u32, u32) = (1063, 420);
/// Empty space on the right for the legend, in widths of a group, so that it covers no bar.
const LEGEND: f64 = 0.6;
const FONT: &str = "sans-serif";
/// The scale, in ms.
const SCALE: std::ops::Range<f64> = 0.1..10_000.0;

type Value = fn(&Measured) -> f64;
const GROUPS: [(&str, Value); 3] = [
    ("INIT", |of| of.init().median),
    ("first request", |of| of.first().median),
    ("warm request, p50", |of| of.warm(0.5).median),
];

/// The smallest memory size, as an SVG document.
pub(crate) fn svg(reports: &[Report]) -> Result<String> {
    let report = reports.iter().min_by_key(|report| report.memory).context("a memory size")?;
    let mut document = String::new();
    draw(report, &mut document).map_err(|error| anyhow!("{error}"))?;
    Ok(document)
}

fn draw(report: &Report, document: &mut String) -> Result<(), Box<dyn std::error::Error>> {
    let area = SVGBackend::with_string(document, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let bars = report.measured.len() as f64;
    let groups = 0.0..GROUPS.len() as f64 + LEGEND;
    let mut chart = ChartBuilder::on(&area)
        .caption(format!("{} MB, {}; ms, logarithmic", report.memory, report.share), (FONT, 18))
        .margin(12)
        .x_label_area_size(30)
        .y_label_area_size(60)
        .build_cartesian_2d(groups, SCALE.log_scale())?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .y_label_formatter(&|millis| format!("{millis}"))
        .x_labels(0)
        .label_style((FONT, 14))
        .draw()?;

    let centred = |size: u32| (FONT, size).into_font().color(&BLACK).pos(Pos::new(HPos::Center, VPos::Bottom));
    for (place, function) in report.measured.iter().enumerate() {
        let colour = colour(&function.name);
        let bar = |group: usize, value: f64| {
            let left = group as f64 + 0.1 + 0.8 * place as f64 / bars;
            Rectangle::new([(left, SCALE.start), (left + 0.72 / bars, value)], colour.filled())
        };
        chart
            .draw_series(GROUPS.iter().enumerate().map(|(group, (_, value))| bar(group, value(function))))?
            .label(&function.name)
            .legend(move |(x, y)| Rectangle::new([(x, y - 6), (x + 12, y + 6)], colour.filled()));
        chart.draw_series(GROUPS.iter().enumerate().map(|(group, (_, value))| {
            let millis = value(function);
            let digits = usize::from(millis < 100.0) + usize::from(millis < 10.0);
            let middle = group as f64 + 0.1 + (0.8 * place as f64 + 0.36) / bars;
            Text::new(format!("{millis:.digits$}"), (middle, millis * 1.1), centred(12))
        }))?;
    }
    for (group, (name, _)) in GROUPS.iter().enumerate() {
        let (x, y) = chart.backend_coord(&(group as f64 + 0.5, SCALE.start));
        area.draw(&Text::new(*name, (x, y + 24), centred(15)))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .label_font((FONT, 14))
        .background_style(WHITE)
        .draw()?;
    area.present()?;
    Ok(())
}

fn colour(function: &str) -> RGBColor {
    match function {
        OURS => RGBColor(200, 80, 30),
        EMPTY => RGBColor(170, 170, 170),
        EMPTY_LEAN => RGBColor(205, 205, 205),
        PUT_OBJECT_LEAN => RGBColor(70, 110, 160),
        "python" => RGBColor(120, 150, 90),
        "node" => RGBColor(150, 120, 170),
        _ => RGBColor(215, 175, 60),
    }
}
