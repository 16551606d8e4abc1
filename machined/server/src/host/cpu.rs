//! Processors, from `/proc/stat`, `/proc/loadavg` and `/sys`.

use api::v1alpha1::{Cpu, CpuResponse, CpuTimes, Temperature};

use super::{Host, TICK_MS, entries, number, text};

impl Host {
    /// Tells the processors' load, frequency and temperature.
    pub fn cpu(&self) -> CpuResponse {
        let (total, mut cpus) = parse_stat(&text(&self.proc.join("stat")));
        for cpu in &mut cpus {
            let folder = self
                .sys
                .join(format!("devices/system/cpu/cpu{}/cpufreq", cpu.index));
            let hertz = |file| number::<u64>(&folder.join(file)).saturating_mul(1000);
            cpu.frequency_hz = hertz("scaling_cur_freq");
            cpu.max_frequency_hz = hertz("cpuinfo_max_freq");
        }
        let [load_1m, load_5m, load_15m] = parse_load(&text(&self.proc.join("loadavg")));
        CpuResponse {
            load_1m,
            load_5m,
            load_15m,
            total: Some(total),
            cpus,
            temperatures: self.temperatures(),
        }
    }

    fn temperatures(&self) -> Vec<Temperature> {
        let thermal = self.sys.join("class/thermal");
        let zones = entries(&thermal)
            .into_iter()
            .filter(|name| name.starts_with("thermal_zone"));
        let zone = |name: String| {
            let folder = thermal.join(&name);
            let kind = text(&folder.join("type"));
            Temperature {
                zone: if kind.is_empty() { name } else { kind },
                millidegrees: number(&folder.join("temp")),
            }
        };
        zones.map(zone).collect()
    }
}

fn parse_load(text: &str) -> [f64; 3] {
    let mut figures = text.split(' ').map(|figure| figure.parse().unwrap_or(0.0));
    std::array::from_fn(|_| figures.next().unwrap_or(0.0))
}

fn parse_stat(text: &str) -> (CpuTimes, Vec<Cpu>) {
    let mut total = CpuTimes::default();
    let mut cpus = Vec::new();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let Some(index) = words.next().and_then(|name| name.strip_prefix("cpu")) else {
            continue;
        };
        let ticks: Vec<u64> = words.map(|word| word.parse().unwrap_or(0)).collect();
        let times = times(&ticks);
        match index.parse() {
            Ok(index) => cpus.push(Cpu {
                index,
                times: Some(times),
                ..Cpu::default()
            }),
            Err(_) => total = times,
        }
    }
    (total, cpus)
}

/// Columns: user, nice, system, idle, iowait, irq, softirq, steal; what guests used is in user already.
fn times(ticks: &[u64]) -> CpuTimes {
    let of = |columns: &[usize]| -> u64 {
        let sum = columns
            .iter()
            .filter_map(|column| ticks.get(*column))
            .sum::<u64>();
        sum.saturating_mul(TICK_MS)
    };
    CpuTimes {
        user_ms: of(&[0, 1]),
        system_ms: of(&[2, 5, 6]),
        idle_ms: of(&[3]),
        iowait_ms: of(&[4]),
        steal_ms: of(&[7]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_sum_and_each_processor() {
        let stat =
            "cpu  10 1 5 100 3 1 1 2 0 0\ncpu0 6 1 3 50 1 1 0 1 0 0\ncpu1 4 0 2 50 2 0 1 1 0 0\nintr 5\n";
        let (total, cpus) = parse_stat(stat);
        assert_eq!((total.user_ms, total.system_ms, total.idle_ms), (110, 70, 1000));
        assert_eq!((total.iowait_ms, total.steal_ms), (30, 20));
        assert_eq!(cpus.iter().map(|cpu| cpu.index).collect::<Vec<_>>(), [0, 1]);
    }

    #[test]
    fn reads_the_load() {
        assert_eq!(parse_load("0.50 1.25 2.00 1/234 567"), [0.5, 1.25, 2.0]);
        assert_eq!(parse_load(""), [0.0; 3]);
    }
}
