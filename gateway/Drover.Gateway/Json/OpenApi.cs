using System.Text.Json.Nodes;
using Drover.Protocol;
using Google.Api;
using Google.Protobuf.Reflection;

namespace Drover.Gateway.Json;

/// <summary>
/// The OpenAPI 3.1 document of the JSON API, written from the protos' descriptors: every RPC at /v1/rpc, and those with a path of their
/// own (google.api.http) there too. Messages are schemas by their full name, in protobuf's JSON form.
/// </summary>
internal static class OpenApi
{
    private static readonly Lazy<string> Text = new(() => Write().ToJsonString(new System.Text.Json.JsonSerializerOptions { WriteIndented = true }));

    /// <summary>The document.</summary>
    public static string Document => Text.Value;

    private static JsonObject Write()
    {
        var schemas = new SortedDictionary<string, JsonObject>(StringComparer.Ordinal);
        var paths = new JsonObject();
        foreach (MethodDescriptor method in DroverRpcs.Methods.Where(m => !m.IsClientStreaming))
        {
            Add(paths, $"/v1/rpc/{method.Service.FullName}/{method.Name}", "post", Operation(method, method.Name, hasBody: true, [], schemas));
            if (method.GetOptions()?.GetExtension(AnnotationsExtensions.Http) is not { } rule)
                continue;
            (string verb, string path) = rule.PatternCase == HttpRule.PatternOneofCase.Get ? ("get", rule.Get) : ("post", rule.Post);
            string[] variables = [.. path.Split('{').Skip(1).Select(part => part.Split('}')[0].Split('=')[0])];
            string plain = System.Text.RegularExpressions.Regex.Replace(path, @"\{(\w+)(=[^}]*)?\}", "{$1}");
            Add(paths, plain, verb, Operation(method, method.Name + "Http", verb == "post", variables, schemas));
        }

        return new JsonObject
        {
            ["openapi"] = "3.1.0",
            ["info"] = new JsonObject { ["title"] = "Drover", ["version"] = "v1", ["description"] = "Continual pretraining and fine-tuning of LLaMA models. Streams are one JSON object a line." },
            ["security"] = new JsonArray(new JsonObject { ["key"] = new JsonArray() }),
            ["paths"] = paths,
            ["components"] = new JsonObject
            {
                ["securitySchemes"] = new JsonObject { ["key"] = new JsonObject { ["type"] = "http", ["scheme"] = "bearer" } },
                ["schemas"] = new JsonObject(schemas.Select(s => KeyValuePair.Create(s.Key, (JsonNode?)s.Value))),
            },
        };
    }

    private static void Add(JsonObject paths, string path, string verb, JsonObject operation)
    {
        if (paths[path] is not JsonObject item)
            paths[path] = item = [];
        item[verb] = operation;
    }

    private static JsonObject Operation(MethodDescriptor method, string id, bool hasBody, string[] variables, SortedDictionary<string, JsonObject> schemas)
    {
        string type = method.IsServerStreaming ? "application/x-ndjson" : "application/json";
        var operation = new JsonObject
        {
            ["operationId"] = $"{method.Service.Name}_{id}",
            ["tags"] = new JsonArray(method.Service.Name),
            ["responses"] = new JsonObject
            {
                ["200"] = new JsonObject { ["description"] = method.IsServerStreaming ? "One a line." : "Done.", ["content"] = new JsonObject { [type] = new JsonObject { ["schema"] = Reference(method.OutputType, schemas) } } },
                ["default"] = new JsonObject { ["description"] = "google.rpc.Status", ["content"] = new JsonObject { ["application/json"] = new JsonObject { ["schema"] = Reference(Google.Rpc.Status.Descriptor, schemas) } } },
            },
        };
        var parameters = new JsonArray();
        foreach (string variable in variables)
            parameters.Add(new JsonObject { ["name"] = variable, ["in"] = "path", ["required"] = true, ["schema"] = new JsonObject { ["type"] = "string" } });
        if (!hasBody)
        {
            foreach (FieldDescriptor field in method.InputType.Fields.InFieldNumberOrder().Where(f => !variables.Contains(f.Name) && f.FieldType != FieldType.Message))
                parameters.Add(new JsonObject { ["name"] = field.JsonName, ["in"] = "query", ["schema"] = Schema(field, schemas) });
        }

        if (parameters.Count > 0)
            operation["parameters"] = parameters;
        if (hasBody)
            operation["requestBody"] = new JsonObject { ["content"] = new JsonObject { ["application/json"] = new JsonObject { ["schema"] = Reference(method.InputType, schemas) } } };
        return operation;
    }

    private static JsonObject Reference(MessageDescriptor message, SortedDictionary<string, JsonObject> schemas)
    {
        switch (message.FullName)
        {
            case "google.protobuf.Timestamp":
                return new JsonObject { ["type"] = "string", ["format"] = "date-time" };
            case "google.protobuf.Duration":
                return new JsonObject { ["type"] = "string", ["pattern"] = @"^-?\d+(\.\d+)?s$" };
            case "google.protobuf.Any":
                return new JsonObject { ["type"] = "object" };
            default:
                break;
        }

        if (!schemas.ContainsKey(message.FullName))
        {
            var properties = new JsonObject();
            var schema = new JsonObject { ["type"] = "object", ["properties"] = properties };
            // Entered before its fields are looked at: a message may hold itself.
            schemas[message.FullName] = schema;
            foreach (FieldDescriptor field in message.Fields.InFieldNumberOrder())
                properties[field.JsonName] = Schema(field, schemas);
        }

        return new JsonObject { ["$ref"] = $"#/components/schemas/{message.FullName}" };
    }

    private static JsonObject Schema(FieldDescriptor field, SortedDictionary<string, JsonObject> schemas)
    {
        if (field.IsMap)
            return new JsonObject { ["type"] = "object", ["additionalProperties"] = One(field.MessageType.FindFieldByNumber(2), schemas) };
        return field.IsRepeated ? new JsonObject { ["type"] = "array", ["items"] = One(field, schemas) } : One(field, schemas);
    }

    private static JsonObject One(FieldDescriptor field, SortedDictionary<string, JsonObject> schemas) => field.FieldType switch
    {
        FieldType.Message => Reference(field.MessageType, schemas),
        FieldType.Enum => new JsonObject { ["type"] = "string", ["enum"] = new JsonArray([.. field.EnumType.Values.Select(v => (JsonNode)v.Name)]) },
        FieldType.Bool => new JsonObject { ["type"] = "boolean" },
        FieldType.String => new JsonObject { ["type"] = "string" },
        FieldType.Bytes => new JsonObject { ["type"] = "string", ["contentEncoding"] = "base64" },
        FieldType.Double or FieldType.Float => new JsonObject { ["type"] = "number" },
        FieldType.Int32 or FieldType.UInt32 or FieldType.SInt32 => new JsonObject { ["type"] = "integer", ["format"] = "int32" },
        // Protobuf's JSON writes 64 bits as a string and reads both.
        _ => new JsonObject { ["type"] = new JsonArray("string", "integer"), ["format"] = "int64" },
    };
}
