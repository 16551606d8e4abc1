//! `bedplate-image boards`, `overlays` and `schema`.

use std::process::ExitCode;

use anyhow::Result;
use clap::ValueEnum;
use serde_json::json;

use super::{Global, Output};

/// List the boards that can be built.
#[derive(Debug, clap::Args)]
pub struct Boards {}

/// List the overlays that can be added.
#[derive(Debug, clap::Args)]
pub struct Overlays {}

/// Print the JSON Schema of board, overlay or module list files, for editors.
#[derive(Debug, clap::Args)]
pub struct Schema {
    /// Which kind of file.
    #[arg(value_enum)]
    kind: Kind,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    Board,
    Overlay,
    ModuleList,
}

impl Boards {
    /// Runs the command.
    pub fn run(self, global: &Global) -> Result<ExitCode> {
        let catalog = global.places.catalog()?;
        let names: Vec<String> = catalog.boards().map(|board| board.name.to_string()).collect();
        let boards = names
            .iter()
            .map(|name| catalog.board(name))
            .collect::<Result<Vec<_>, _>>()?;
        let rows = boards.iter().map(|board| {
            let row = vec![
                board.name.to_string(),
                board.arch.to_string(),
                board.description.clone(),
            ];
            (
                row,
                json!({"name": board.name, "arch": board.arch, "description": board.description}),
            )
        });
        print(global.output, rows.collect())?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Overlays {
    /// Runs the command.
    pub fn run(self, global: &Global) -> Result<ExitCode> {
        let catalog = global.places.catalog()?;
        let rows = catalog.overlays().map(|overlay| {
            let row = vec![overlay.name.to_string(), overlay.description.clone()];
            (
                row,
                json!({"name": overlay.name, "description": overlay.description, "boards": overlay.boards}),
            )
        });
        print(global.output, rows.collect())?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Schema {
    /// Runs the command.
    pub fn run(self) -> Result<ExitCode> {
        let schema = match self.kind {
            Kind::Board => board::schema::board(),
            Kind::Overlay => board::schema::overlay(),
            Kind::ModuleList => board::schema::module_list(),
        };
        stdio::print(schema)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn print(output: Output, rows: Vec<(Vec<String>, serde_json::Value)>) -> Result<()> {
    match output {
        Output::Json => {
            let values: Vec<_> = rows.into_iter().map(|(_, value)| value).collect();
            stdio::line(format_args!("{:#}", json!(values)))?;
        }
        Output::Text => {
            let width = |column: usize| {
                rows.iter()
                    .filter_map(|(row, _)| Some(row.get(column)?.len()))
                    .max()
            };
            let widths: Vec<usize> = (0..).map_while(width).collect();
            for (row, _) in &rows {
                let cells = row
                    .iter()
                    .zip(&widths)
                    .map(|(cell, width)| format!("{cell:width$}  "));
                stdio::line(cells.collect::<String>().trim_end())?;
            }
        }
    }
    Ok(())
}
